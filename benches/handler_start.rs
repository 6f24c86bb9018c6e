//! What does it cost to start a handler program under its supervisor?
//!
//! The handler runs `true`. The peer starts the same program directly and reads its output. The cases alternate.

use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use taskseal::QueueName;
use taskseal::handler::{Handler, OpenedTask, Program};
use taskseal_benches::Samples;
use taskseal_core::TaskId;
use tokio::runtime::Runtime;

const PROGRAM: &str = "/bin/true";
const ROUNDS: usize = 200;

fn main() -> ExitCode {
    if let Some(code) = taskseal::handler::supervise() {
        return code;
    }
    let runtime = Runtime::new().expect("a runtime can be started");
    let program = Program::new(vec![PROGRAM.to_owned()]).expect("it has a name");
    let (mut supervised, mut direct) = (Samples::default(), Samples::default());
    for _ in 0..ROUNDS {
        let start = Instant::now();
        runtime.block_on(program.run(task())).expect("it succeeds");
        supervised.push(microseconds(start.elapsed()));

        let mut command = Command::new(PROGRAM);
        command.env_clear().stdin(Stdio::null());
        let start = Instant::now();
        let output = command.output().expect("it can be started");
        direct.push(microseconds(start.elapsed()));
        assert!(output.status.success(), "{output:?}");
    }
    println!("start of a program, {ROUNDS} rounds, microseconds");
    println!("  supervised {:>8.0}  {}", supervised.median(), supervised.spread());
    println!("  direct     {:>8.0}  {}", direct.median(), direct.spread());
    println!("  ratio      {:>8.1}", supervised.median() / direct.median());
    ExitCode::SUCCESS
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn task() -> OpenedTask {
    OpenedTask {
        id: TaskId::from_bytes([7; 16]),
        sealed_by: None,
        issuer: "bench".to_owned(),
        task_type: "bench:start".to_owned(),
        queue: QueueName::parse("bench").expect("a name"),
        content_type: "application/octet-stream".to_owned(),
        attempt: 1,
        timeout: Duration::from_secs(60),
        body: vec![0xa5; 512].into(),
    }
}
