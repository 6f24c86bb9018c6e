//! What is printed of an enqueued task.

use serde_json::json;
use taskseal::Receipt;

use crate::failure::{Exit, Failure};
use crate::output::json::hex;
use crate::ui::Ui;

/// Prints the id of an enqueued task. A reader of standard output that is gone is an error here: the task is stored.
pub(super) fn print(receipt: &Receipt, ui: &Ui) -> Result<(), Failure> {
    print_of_line(receipt, None, ui).map_err(|failure| {
        Failure::new(format!("{}: task {} is enqueued", reason(failure), receipt.queue_id))
            .hint(format!("`taskseal task inspect {}` shows it", receipt.queue_id))
    })
}

/// Prints the id of a task, with the number of its line in the input.
pub(super) fn print_of_line(receipt: &Receipt, line: Option<usize>, ui: &Ui) -> Result<(), Failure> {
    let id = receipt.id.to_string();
    if !ui.json() {
        return ui.text(&format!("{id}\n"));
    }
    let mut members = vec![
        ("id", json!(id)),
        ("queue", json!(receipt.queue.as_str())),
        ("type", json!(receipt.task_type)),
        ("digest", json!(hex(&receipt.digest))),
    ];
    if receipt.queue_id != id {
        members.push(("ref", json!(receipt.queue_id)));
    }
    if let Some(line) = line {
        members.push(("line", json!(line)));
    }
    ui.object(members)
}

/// Returns why standard output was not written.
pub(super) fn reason(failure: Failure) -> String {
    match failure.exit {
        Exit::Silent => "the reader of standard output has closed it".to_owned(),
        _ => failure.into_message(),
    }
}
