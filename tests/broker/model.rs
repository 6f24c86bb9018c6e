//! Random sequences of calls on a broker, compared with a model of its documentation.
//!
//! `TASKSEAL_MODEL_CASES` sets how many sequences are run.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use proptest::test_runner::{Config, TestCaseError, TestRunner};
use taskseal::broker::Broker;
use taskseal::time::UnixMillis;
use taskseal_tests::conformance::Store;
use taskseal_tests::model::{Model, Op, ops};
use taskseal_tests::redis::RedisServer;

use crate::sqlite_clock::on_its_clock;

fn cases(normally: u32) -> Config {
    let cases = std::env::var("TASKSEAL_MODEL_CASES").map_or(normally, |text| text.parse().unwrap());
    Config { cases, failure_persistence: None, ..Config::default() }
}

/// Runs sequences, each on a broker that `open` makes; `tick` lets at least a millisecond pass on its clock.
fn check<T>(
    config: Config,
    model: fn() -> Model,
    mut open: impl FnMut() -> (T, Arc<dyn Broker>),
    tick: impl Fn(&T),
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let open = std::cell::RefCell::new(&mut open);
    TestRunner::new(config)
        .run(&ops(), |ops: Vec<Op>| {
            let (store, broker) = (open.borrow_mut())();
            runtime.block_on(async {
                let mut model = model();
                for (number, op) in ops.iter().enumerate() {
                    tick(&store);
                    model
                        .step(&*broker, op)
                        .await
                        .map_err(|text| TestCaseError::fail(format!("step {number}, {op:?}: {text}")))?;
                }
                Ok(())
            })
        })
        .unwrap();
}

#[test]
fn embedded_broker_does_what_the_model_does() {
    let open = || {
        // From a start in the past, so that the model's idea of the future holds on this clock too.
        let (file, time, broker) = on_its_clock(UnixMillis::now().0);
        let broker: Arc<dyn Broker> = Arc::new(broker);
        ((file, time), broker)
    };
    check(cases(400), Model::exact, open, |(_, time)| {
        time.fetch_add(1, Ordering::SeqCst);
    });
}

#[test]
fn redis_broker_does_what_the_model_does() {
    let Some(server) = RedisServer::start_or_skip() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let open = || {
        let _: () = redis::cmd("FLUSHALL").query(&mut server.raw()).unwrap();
        ((), runtime.block_on(server.open()))
    };
    check(cases(100), Model::by_the_second, open, |()| {
        // Redis reads the clock of this machine, and keeps milliseconds of it.
        let from = UnixMillis::now();
        while UnixMillis::now().since(from) < Duration::from_millis(3) {
            std::hint::spin_loop();
        }
    });
}
