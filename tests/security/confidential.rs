//! What a reader of the broker sees: the claims, and neither bodies nor results.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;

use ::redis::cmd;
use taskseal::handler::Output;
use taskseal::{Task, Worker};
use taskseal_core::ContentType;
use taskseal_tests::fleet::{AnyQueue, Fleet, every_type};
use taskseal_tests::on_both_brokers;

const BODY: &str = "card 4111-1111-1111-1111";
const RESULT: &[u8] = b"transfer 90210 is booked";

on_both_brokers! {
    body_and_result_are_nowhere_in_the_broker_and_the_type_is,
}

/// Returns all bytes that the broker stores.
fn stored(queue: &AnyQueue) -> Vec<u8> {
    match queue {
        AnyQueue::Embedded(file) => {
            let files = fs::read_dir(file.path().parent().unwrap()).unwrap();
            files.flat_map(|file| fs::read(file.unwrap().path()).unwrap()).collect()
        }
        AnyQueue::Redis(server) => {
            let mut raw = server.raw();
            // A compressed value would hide what is searched for.
            cmd("CONFIG").arg(&["SET", "rdbcompression", "no"]).exec(&mut raw).unwrap();
            let keys: Vec<Vec<u8>> = cmd("KEYS").arg("*").query(&mut raw).unwrap();
            keys.iter().flat_map(|key| cmd("DUMP").arg(key).query::<Vec<u8>>(&mut raw).unwrap()).collect()
        }
        AnyQueue::Elsewhere => panic!("belongs to another process"),
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

async fn body_and_result_are_nowhere_in_the_broker_and_the_type_is(fleet: Fleet) {
    let client = fleet.client();
    let receipt = client.enqueue(Task::new("email:send", &BODY).unwrap()).await.unwrap();
    let before = stored(fleet.queue());
    let handlers = every_type(async |_| Ok(Output::new(ContentType::OCTETS, RESULT.to_vec())));
    Worker::new(fleet.worker_settings(), fleet.parts(handlers)).run_once().await;
    let after = stored(fleet.queue());

    for stored in [&before, &after] {
        assert!(!contains(stored, BODY.as_bytes()) && !contains(stored, RESULT));
        assert!(contains(stored, b"email:send"));
    }
    assert_eq!(client.result(&receipt).await.unwrap().unwrap().body.as_slice(), RESULT);
}
