//! A process with write access to the queue that forges and replays tasks all the time.

use std::sync::Arc;

use taskseal::broker::redis::asynq::Message;
use taskseal::{Client, Task};
use taskseal_tests::fleet::new_id;

use crate::accounts::Accounts;
use crate::load::{Load, Producer, TYPE};
use crate::unsealed;

/// Starts the forger.
pub(crate) fn start(load: &Load, url: &str, stranger: Client) -> Producer {
    let (url, accounts, stranger) = (url.to_owned(), Arc::clone(&load.accounts), Arc::new(stranger));
    load.produce("forger", 1, move |number| {
        let (url, accounts, stranger) = (url.clone(), Arc::clone(&accounts), Arc::clone(&stranger));
        async move {
            match number % 5 {
                // Workers put them off: their key may become known.
                0 if number <= 50 => seal(&stranger, &accounts).await,
                _ => forge(&url, &accounts, number),
            }
        }
    })
}

/// Enqueues a task that a key has sealed which the keyset does not have.
async fn seal(stranger: &Client, accounts: &Accounts) -> bool {
    let sealed = stranger.seal(Task::new(TYPE, &"forged").unwrap()).await.unwrap();
    accounts.entries().forged.insert(sealed.receipt.id.to_string(), "its key is unknown");
    stranger.enqueue_sealed(&sealed.receipt.queue, sealed.envelope).await.unwrap();
    true
}

/// Stores one forged or replayed task. Returns whether there was one to start from.
fn forge(url: &str, accounts: &Accounts, number: u64) -> bool {
    let mut redis = redis::Client::open(url).unwrap().get_connection().unwrap();
    let id = new_id().to_string();
    let mut entries = accounts.entries();
    if number.is_multiple_of(4) {
        entries.forged.insert(id.clone(), "it is not sealed");
        unsealed::store(&mut redis, &id, TYPE, b"forged");
        return true;
    }
    // One whose producer has read the result.
    let sealed = |id: &&String| entries.good.get(*id).is_some_and(|producer| !producer.starts_with("old"));
    let Some(good) = entries.verified.iter().rev().find(sealed).cloned() else { return false };
    let Some(message) = unsealed::stored_message(&mut redis, &good) else { return false };
    let mut payload = Message::decode(&message).unwrap().payload.to_vec();
    match number % 4 {
        1 => {
            entries.forged.insert(id.clone(), "a copy with another id");
            unsealed::store(&mut redis, &id, TYPE, &payload);
        }
        2 => {
            entries.replayed += 1;
            *payload.last_mut().unwrap() ^= 1;
            unsealed::forget(&mut redis, &good);
            unsealed::store(&mut redis, &good, TYPE, &payload);
        }
        _ => {
            entries.replayed += 1;
            unsealed::forget(&mut redis, &good);
            unsealed::store_message(&mut redis, &good, &message);
        }
    }
    true
}
