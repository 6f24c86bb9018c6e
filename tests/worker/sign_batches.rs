//! Many tasks under one signature: the number of signatures, and what callers receive when one is delayed, fails or is
//! cancelled.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use taskseal::client::ClientError;
use taskseal::{Client, SealedTask, Task};
use taskseal_core::{ContentType, MAX_BODY, SealError, Suite, Unverified};
use taskseal_tests::fleet::{Fleet, mail, new_id, until};
use taskseal_tests::signer::{TestSigner, Then};

/// A client of this fleet that signs with the signer, at most `batch` tasks at once.
fn client(fleet: &Fleet, batch: usize) -> (Client, Arc<TestSigner>) {
    let signer = Arc::new(TestSigner::new(fleet.producer_key()));
    let mut settings = fleet.client_settings();
    settings.sign_batch = batch;
    let key = fleet.sealing_key_by(Arc::clone(&signer) as _);
    (Client::new(settings, fleet.broker(), key, fleet.keyring()), signer)
}

fn task(body: usize) -> Task {
    Task::new("email:send", &body).unwrap()
}

fn is_batched(sealed: &SealedTask) -> bool {
    Unverified::parse(&sealed.envelope).unwrap().is_batched()
}

type Sealing<'c> = Pin<Box<dyn Future<Output = Result<SealedTask, ClientError>> + 'c>>;

/// A caller that was polled until it waits for a signature.
async fn caller(client: &Client) -> Sealing<'_> {
    let mut sealing: Sealing<'_> = Box::pin(client.seal(task(0)));
    let polled = poll_fn(|context| Poll::Ready(sealing.as_mut().poll(context))).await;
    assert!(polled.is_pending());
    sealing
}

async fn callers(client: &Client, count: usize) -> Vec<Sealing<'_>> {
    let mut callers = Vec::new();
    for _ in 0..count {
        callers.push(caller(client).await);
    }
    callers
}

/// A caller whose signature is in progress until the signer is released.
async fn held_up(client: &Arc<Client>, signer: &TestSigner) -> tokio::task::JoinHandle<SealedTask> {
    signer.hold();
    let (client, asked) = (Arc::clone(client), signer.asked());
    let first = tokio::spawn(async move { client.seal(task(0)).await.unwrap() });
    until("the first signature", async || (signer.asked() == asked + 1).then_some(())).await;
    first
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn task_that_cannot_be_sealed_fails_no_other_of_its_batch() {
    let fleet = Fleet::embedded().await;
    let (client, signer) = client(&fleet, 64);
    let too_long = || Task::from_bytes("x", ContentType::OCTETS, vec![0; MAX_BODY + 1]).unwrap();

    let sealed = client.seal_all(vec![task(1), too_long(), task(2)]).await;
    assert!(matches!(sealed[1], Err(ClientError::Sealing(SealError::BodyTooLong))), "{:?}", sealed[1]);
    assert!(is_batched(sealed[0].as_ref().unwrap()) && is_batched(sealed[2].as_ref().unwrap()));
    assert_eq!(signer.asked(), 1);

    // A single task needs no batch, and every worker accepts it.
    let sealed = client.seal_all(vec![too_long(), task(1)]).await;
    assert!(sealed[0].is_err() && !is_batched(sealed[1].as_ref().unwrap()));
    assert_eq!(signer.asked(), 2);

    let error = client.enqueue_all(vec![task(1), too_long()]).await.unwrap_err();
    assert!(matches!(error, ClientError::Sealing(SealError::BodyTooLong)), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failing_signer_fails_exactly_the_callers_that_waited_for_that_signature() {
    let fleet = Fleet::embedded().await;
    let (client, signer) = client(&fleet, 4);
    signer.from_now_on(Then::Fails);

    let sealed = client.seal_all((0..4).map(task).collect()).await;
    for sealed in sealed {
        assert_eq!(sealed.unwrap_err().to_string(), "the signer failed: the token was pulled");
    }
    assert_eq!(signer.asked(), 1);
    let client = Arc::new(client);
    signer.hold();
    let six = callers(&client, 6).await;
    until("the signature of who came first", async || (signer.asked() == 2).then_some(())).await;
    signer.let_go();
    for caller in six {
        assert_eq!(caller.await.unwrap_err().to_string(), "the signer failed: the token was pulled");
    }
    assert!((3..=4).contains(&signer.asked()), "four and two, or some before four: {}", signer.asked());

    signer.from_now_on(Then::Signs);
    assert!(client.seal(task(0)).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn panicking_signer_leaves_no_caller_waiting() {
    let fleet = Fleet::embedded().await;
    let (client, signer) = client(&fleet, 64);
    let client = Arc::new(client);
    signer.from_now_on(Then::Panics);
    signer.hold();
    let three = callers(&client, 3).await;
    signer.let_go();
    for caller in three {
        let error = caller.await.unwrap_err();
        assert!(matches!(error, ClientError::Sealing(SealError::Signer(_))), "{error:?}");
    }
    signer.from_now_on(Then::Signs);
    assert!(client.seal(task(0)).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caller_that_is_cancelled_while_it_waits_loses_nothing_of_the_others() {
    let fleet = Fleet::embedded().await;
    let (client, signer) = client(&fleet, 64);
    let client = Arc::new(client);
    let first = held_up(&client, &signer).await;
    let mut waiting = callers(&client, 3).await;
    drop(waiting.remove(1));
    signer.let_go();

    assert!(!is_batched(&first.await.unwrap()), "no other caller was waiting when it was signed");
    for caller in waiting {
        assert!(is_batched(&caller.await.unwrap()));
    }
    assert_eq!(signer.asked(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caller_that_is_cancelled_while_its_signature_is_made_loses_nothing_of_the_others() {
    let fleet = Fleet::embedded().await;
    let (client, signer) = client(&fleet, 64);
    let client = Arc::new(client);
    let first = held_up(&client, &signer).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let waiting = callers(&client, 3).await;
    signer.let_go();
    for caller in waiting {
        assert!(is_batched(&caller.await.unwrap()));
    }
    assert_eq!(signer.asked(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_cancelled_callers_do_not_prevent_the_next_signature() {
    let fleet = Fleet::embedded().await;
    let (client, signer) = client(&fleet, 64);
    let client = Arc::new(client);
    let first = held_up(&client, &signer).await;
    let mut waiting = callers(&client, 50_000).await;
    let last = waiting.pop().unwrap();
    drop(waiting);
    signer.let_go();
    first.await.unwrap();
    assert!(!is_batched(&last.await.unwrap()));
    assert_eq!(signer.asked(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caller_that_is_not_polled_delays_no_other() {
    let fleet = Fleet::embedded().await;
    let (client, signer) = client(&fleet, 2);
    signer.hold();
    // As in the branches of a `select!`, or in a set of futures whose owner enqueues as well before it looks again.
    let mut unpolled = callers(&client, 5).await;
    let polled = unpolled.pop().unwrap();
    signer.let_go();
    let in_time = tokio::time::timeout(std::time::Duration::from_secs(60), polled).await;
    assert!(in_time.expect("waits for a caller that waits for it").is_ok());
    for caller in unpolled {
        assert!(caller.await.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_arrive_during_a_signature_share_the_next_one() {
    let fleet = Fleet::embedded().await;
    let (client, signer) = client(&fleet, 64);
    let client = Arc::new(client);
    let first = held_up(&client, &signer).await;
    let rest = callers(&client, 199).await;
    signer.let_go();
    first.await.unwrap();
    for caller in rest {
        assert!(is_batched(&caller.await.unwrap()));
    }
    assert_eq!(signer.asked(), 1 + 199_usize.div_ceil(64));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_concurrent_callers_share_few_signatures_and_none_is_lost() {
    let fleet = Fleet::embedded().await;
    let (client, signer) = client(&fleet, 64);
    let client = Arc::new(client);
    let first = held_up(&client, &signer).await;
    let mut callers = tokio::task::JoinSet::new();
    let begun = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    for body in 0..200 {
        let (client, begun) = (Arc::clone(&client), Arc::clone(&begun));
        callers.spawn(async move {
            begun.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            client.enqueue(task(body)).await.unwrap().id
        });
    }
    let all = || begun.load(std::sync::atomic::Ordering::SeqCst) == 200;
    until("all callers", async || all().then_some(())).await;
    signer.let_go();
    let mut ids = callers.join_all().await;
    first.await.unwrap();
    // Two threads may still have been on their way when the signer was let go.
    assert!(signer.asked() <= 8, "{}", signer.asked());
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 200);
    assert_eq!(fleet.broker().stats(&mail()).await.unwrap().pending, 200);
}

#[tokio::test]
async fn callers_on_one_thread_share_signatures_too() {
    let fleet = Fleet::embedded().await;
    let mut settings = fleet.client_settings();
    settings.sign_batch = 64;
    let client = Arc::new(fleet.client_with(settings));
    let mut callers = tokio::task::JoinSet::new();
    for body in 0..64 {
        let client = Arc::clone(&client);
        callers.spawn(async move { client.seal(task(body)).await.unwrap() });
    }
    let sealed = callers.join_all().await;
    assert!(sealed.iter().all(is_batched), "a key in memory signs without leaving the thread");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousand_tasks_take_one_signature_for_each_sixty_four() {
    let fleet = Fleet::embedded().await;
    let (client, signer) = client(&fleet, 64);
    let receipts = client.enqueue_all((0..1000).map(task).collect()).await.unwrap();
    assert_eq!((receipts.len(), signer.asked()), (1000, 1000_usize.div_ceil(64)));
    assert_eq!(fleet.broker().stats(&mail()).await.unwrap().pending, 1000);
    for receipt in [&receipts[0], &receipts[63], &receipts[999]] {
        assert_eq!(client.receipt(&mail(), receipt.id).await.unwrap().as_ref(), Some(receipt));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_without_batches_makes_one_signature_a_task() {
    let fleet = Fleet::embedded().await;
    let (client, signer) = client(&fleet, 1);
    for sealed in client.seal_all((0..5).map(task).collect()).await {
        assert!(!is_batched(&sealed.unwrap()));
    }
    assert_eq!(signer.asked(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn single_task_is_sealed_without_a_batch() {
    let fleet = Fleet::embedded().await;
    let (client, _) = client(&fleet, 1024);
    assert!(!is_batched(&client.seal(task(0)).await.unwrap()));
    assert!(!is_batched(&client.seal_all(vec![task(0)]).await.pop().unwrap().unwrap()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn suites_that_sign_make_batches_of_any_size() {
    let fleet = Fleet::embedded().await;
    for suite in [Suite::S, Suite::Se, Suite::Sp] {
        let mut settings = fleet.client_settings();
        settings.sign_batch = usize::MAX;
        let client = Client::new(settings, fleet.broker(), fleet.sealing_key_in(suite), fleet.keyring());
        let sealed = client.seal_all((0..1025).map(task).collect()).await;
        let batched: Vec<bool> = sealed.iter().map(|sealed| is_batched(sealed.as_ref().unwrap())).collect();
        assert!(batched[..1024].iter().all(|batched| *batched) && !batched[1024], "{suite}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sealed_task_may_be_enqueued_again_and_is_stored_once() {
    let fleet = Fleet::embedded().await;
    let (client, _) = client(&fleet, 64);
    let id = new_id();
    let sealed = client.seal(task(0).id(id)).await.unwrap();
    for _ in 0..2 {
        let receipt = client.enqueue_sealed(&mail(), sealed.envelope.clone()).await.unwrap();
        assert_eq!(receipt, sealed.receipt);
    }
    assert_eq!(fleet.broker().stats(&mail()).await.unwrap().pending, 1);
    let again = client.seal(task(0).id(id)).await.unwrap();
    let conflict = client.enqueue_sealed(&mail(), again.envelope).await.unwrap_err();
    assert!(matches!(conflict, ClientError::Conflict(_)), "{conflict:?}");
}
