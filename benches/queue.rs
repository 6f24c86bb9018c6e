//! What does a task cost the queue?
//!
//! Part 1: Redis CPU a task, our scripts in batches beside scripts of asynq's shape, one task a call.
//! Part 2: sealed beside unsealed tasks, through the real client and worker.
//! `cargo bench --bench queue -- scripts` or `-- sealed` runs one part.

#[path = "queue/scripts.rs"]
mod scripts;
#[path = "queue/sealed.rs"]
mod sealed;

fn main() {
    if let Some(reason) = taskseal_tests::redis::unavailable() {
        eprintln!("skipped: {reason}");
        return;
    }
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let is_wanted = |part: &str| wanted.is_empty() || wanted.iter().any(|name| name == part);
    if is_wanted("scripts") {
        scripts::run();
    }
    if is_wanted("sealed") {
        sealed::run();
    }
}
