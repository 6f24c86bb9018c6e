//! What does a task cost the queue?
//!
//! Part 1: Redis CPU a task, our scripts in batches beside scripts of asynq's shape, one task a call.

#[path = "queue/scripts.rs"]
mod scripts;

fn main() {
    if let Some(reason) = taskseal_tests::redis::unavailable() {
        eprintln!("skipped: {reason}");
        return;
    }
    scripts::run();
}
