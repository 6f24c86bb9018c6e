//! Every command of every document is run as printed, or is listed with the reason why no test can run it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests are tests")]

mod examples;
mod hosts;
mod inline;
mod languages;
mod not_run;
mod output;
mod pages;
mod reader;
mod services;
mod stolen_key;
mod substituted;
mod tokens;
mod values;
mod vault;

use taskseal_tests::documents::{Command, Page, pages};

use not_run::NOT_RUN;
use reader::Reader;

/// Makes a test of each page, and the list of all.
macro_rules! read {
    ($($test:ident: $page:literal, $read:path;)*) => {
        const READ: &[&str] = &[$($page),*];
        $(
            #[test]
            fn $test() {
                if let Some(mut reader) = Reader::of($page) {
                    $read(&mut reader);
                    reader.finish();
                }
            }
        )*
    };
}

read! {
    commands_of_the_first_page_run: "README.md", pages::whole;
    commands_of_the_program_run: "host/cli/README.md", pages::whole;
    guide_to_get_started_ends_with_the_result_of_the_task: "host/docs/get-started.md", pages::whole;
    commands_of_the_command_line_run: "host/docs/command-line.md", pages::command_line;
    guide_for_two_hosts_ends_with_the_result_on_the_host_of_the_producer: "host/docs/two-hosts.md", hosts::two_hosts;
    guide_to_add_a_producer_ends_with_its_task_run: "host/docs/add-a-producer.md", hosts::add_a_producer;
    guide_for_keysets_replaces_a_key_and_revokes_another: "host/docs/keyset.md", pages::keyset;
    guide_for_a_stolen_key_revokes_and_replaces_it_in_a_running_worker: "host/docs/a-key-was-stolen.md", stolen_key::stolen_key;
    guide_to_keep_an_audit_log_ends_with_a_log_that_verifies: "host/docs/audit.md", pages::audit;
    guide_for_failed_tasks_runs_them_again: "host/docs/when-a-task-fails.md", pages::when_a_task_fails;
    guide_to_introduce_sealing_runs_unsealed_and_sealed_tasks: "host/docs/introduce-sealing.md", pages::introduce_sealing;
    guide_for_handlers_ends_with_the_output_of_the_handler: "host/docs/handlers.md", pages::handlers;
    guide_for_services_starts_the_worker_of_its_unit: "host/docs/run-as-a-service.md", pages::service;
    guide_for_any_program_enqueues_from_python_and_from_a_shell: "host/docs/seal-from-any-program.md", languages::any_program;
    guide_for_go_ends_with_the_result_of_a_task_of_asynq: "host/docs/seal-from-go.md", languages::go;
    commands_for_a_device_write_its_flash_and_forward_its_readings: "core/firmware/README.md", languages::firmware;
    guide_for_tokens_adds_a_key_and_a_wrapped_key: "host/docs/keys-in-tokens.md", tokens::keys_in_tokens;
    guide_for_aws_signs_in_kms_and_decrypts_with_a_secret: "host/docs/keys-in-aws.md", services::keys_in_aws;
    guide_for_azure_signs_in_a_vault_and_decrypts_with_a_secret: "host/docs/keys-in-azure.md", services::keys_in_azure;
    guide_for_google_signs_in_kms_and_decrypts_with_a_secret: "host/docs/keys-in-google.md", services::keys_in_google;
    guide_for_vault_signs_in_transit_and_decrypts_with_a_secret: "host/docs/keys-in-vault.md", vault::keys_in_vault;
    guide_for_keys_of_other_programs_imports_and_exports_them: "host/docs/keys-of-other-programs.md", pages::keys_of_other_programs;
    first_task_with_keys_in_a_token_runs: "hsm/README.md", tokens::from_the_first_token;
}

fn described(page: &Page, command: &Command<'_>) -> String {
    format!("{}:{}: {}", page.path, command.line, command.text)
}

#[test]
fn command_that_is_neither_run_nor_listed_is_in_no_document() {
    let mut missing = Vec::new();
    for page in pages().iter().filter(|page| !READ.contains(&page.path.as_str())) {
        let commands = page.blocks().into_iter().flat_map(|block| block.commands());
        let unlisted =
            commands.filter(|command| !NOT_RUN.iter().any(|entry| entry.is(&page.path, &command.text)));
        missing.extend(unlisted.map(|command| described(page, &command)));
    }
    assert!(missing.is_empty(), "run these commands, or list them with a reason:\n{}", missing.join("\n"));
}

#[test]
fn every_listed_reason_is_that_of_a_command_of_a_document() {
    let pages = pages();
    let commands: Vec<_> = pages
        .iter()
        .flat_map(|page| {
            page.blocks().into_iter().flat_map(|block| block.commands()).map(move |command| (page, command))
        })
        .collect();
    for entry in NOT_RUN {
        let is_used = commands.iter().any(|(page, command)| entry.is(&page.path, &command.text));
        assert!(is_used, "no document has this command: {}", entry.describe());
    }
}

/// Text in other blocks is not run, so it must not be a command.
#[test]
fn commands_are_in_blocks_of_console_or_sh() {
    const PROGRAMS: [&str; 8] =
        ["$ ", "taskseal init", "cargo ", "sudo ", "mkdir ", "export ", "softhsm2-util ", "redis-cli "];
    for page in pages() {
        for block in page.blocks() {
            if ["console", "sh"].contains(&block.language) {
                continue;
            }
            let command =
                block.text.lines().find(|line| PROGRAMS.iter().any(|start| line.starts_with(start)));
            assert_eq!(command, None, "{}:{}: a block of {:?}", page.path, block.line, block.language);
        }
    }
}
