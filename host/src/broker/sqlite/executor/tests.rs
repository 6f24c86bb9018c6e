//! Calls that meet in the threads: shared commits, failures, callers that gave up.

use std::future::Future;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};

use tempfile::TempDir;
use tokio::sync::oneshot;

use super::*;

const INSERT: &str = "INSERT INTO thing VALUES (?1)";

fn connection(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection
        .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS thing (a INTEGER UNIQUE)")
        .unwrap();
    connection
}

fn executor() -> (TempDir, Executor) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("things.db");
    let clock: Clock = Arc::new(UnixMillis::now);
    let (writer, reader) = (connection(&path), connection(&path));
    let executor = Executor::start(writer, reader, &Location::of(&path).unwrap(), &clock).unwrap();
    (folder, executor)
}

async fn insert(executor: &Executor, number: i64) -> Result<(), BrokerError> {
    executor.write(move |connection, _| connection.execute(INSERT, [number]).map(|_| ())).await
}

async fn things(executor: &Executor) -> Vec<i64> {
    let read = executor.read(|connection, _| {
        let mut statement = connection.prepare("SELECT a FROM thing ORDER BY a")?;
        let rows = statement.query_map([], |row| row.get(0))?;
        rows.collect()
    });
    read.await.unwrap()
}

/// Holds the writer in a transaction that inserts 0, until told to go on.
fn hold(
    executor: &Executor,
) -> (impl Future<Output = Result<(), BrokerError>>, oneshot::Receiver<()>, Sender<()>) {
    let (begun, has_begun) = oneshot::channel();
    let (go_on, told) = mpsc::channel::<()>();
    let held = executor.write(move |connection, _| {
        connection.execute(INSERT, [0])?;
        begun.send(()).unwrap();
        told.recv().unwrap();
        Ok(())
    });
    (held, has_begun, go_on)
}

#[tokio::test]
async fn a_call_that_fails_undoes_only_itself_in_a_shared_commit() {
    let (_folder, executor) = executor();
    let (held, has_begun, go_on) = hold(&executor);
    let fails = executor.write(|connection, _| {
        connection.execute(INSERT, [7])?;
        connection.execute(INSERT, [1])?;
        Ok(())
    });

    let (held, first, failed, last, ()) =
        tokio::join!(held, insert(&executor, 1), fails, insert(&executor, 2), async {
            // The other calls were sent by now: joined futures are polled in their order.
            has_begun.await.unwrap();
            go_on.send(()).unwrap();
        });

    assert!(held.is_ok() && first.is_ok() && last.is_ok());
    assert!(matches!(failed, Err(BrokerError::Corrupt(_))), "{failed:?}");
    assert_eq!(things(&executor).await, [0, 1, 2]);
}

#[tokio::test]
async fn a_first_call_that_fails_leaves_nothing_behind() {
    let (_folder, executor) = executor();
    insert(&executor, 1).await.unwrap();

    let fails = executor.write(|connection, _| {
        connection.execute(INSERT, [7])?;
        connection.execute(INSERT, [1]).map(|_| ())
    });

    assert!(fails.await.is_err());
    assert_eq!(things(&executor).await, [1]);
    insert(&executor, 2).await.unwrap();
    assert_eq!(things(&executor).await, [1, 2]);
}

#[tokio::test]
async fn reading_does_not_wait_for_writing_and_sees_no_half_of_it() {
    let (_folder, executor) = executor();
    let (held, has_begun, go_on) = hold(&executor);

    let (held, ()) = tokio::join!(held, async {
        has_begun.await.unwrap();
        assert!(things(&executor).await.is_empty());
        go_on.send(()).unwrap();
    });

    held.unwrap();
    assert_eq!(things(&executor).await, [0]);
}

#[tokio::test]
async fn a_call_whose_caller_gave_up_is_never_begun() {
    let (_folder, executor) = executor();
    let (held, has_begun, go_on) = hold(&executor);
    let ran = Arc::new(AtomicBool::new(false));
    let runs = Arc::clone(&ran);

    let (held, ()) = tokio::join!(held, async {
        has_begun.await.unwrap();
        let mut abandoned = Box::pin(executor.write(move |_, _| {
            runs.store(true, Ordering::SeqCst);
            Ok(())
        }));
        // Polled once, it is on its way to the writer.
        std::future::poll_fn(|context| {
            assert!(abandoned.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        drop(abandoned);
        go_on.send(()).unwrap();
    });

    held.unwrap();
    insert(&executor, 1).await.unwrap();
    assert!(!ran.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_call_with_nothing_to_do_takes_no_lock() {
    let (folder, executor) = executor();
    let other = connection(&folder.path().join("things.db"));
    other.execute_batch("BEGIN IMMEDIATE").unwrap();

    let idle = executor.write_if(|_, _| Ok(false), |_, _| Ok(vec![1])).await;

    assert_eq!(idle.unwrap(), Vec::<i32>::new());
}

#[tokio::test]
async fn a_panic_in_a_call_is_an_ambiguous_answer_and_then_the_file_is_unavailable() {
    let (_folder, executor) = executor();

    let answer = executor.write::<()>(|_, _| panic!("a bug of ours")).await;
    assert!(matches!(answer, Err(BrokerError::Ambiguous(_))));

    let answer = insert(&executor, 1).await;
    assert!(matches!(answer, Err(BrokerError::Unavailable(_) | BrokerError::Ambiguous(_))));
    assert!(things(&executor).await.is_empty());
}
