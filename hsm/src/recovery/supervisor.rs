//! The thread that keeps a token logged in: one recovery at a time, with growing pauses, and every key checked after.

use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant, SystemTime};

use crate::error::{Error, Failure, Fault};
use crate::health::{Event, add};
use crate::login::connect::{Connection, Refusal, connect};
use crate::pool::Share;
use crate::pool::worker::{Objects, Repeat};
use crate::recovery::classify::Level;
use crate::recovery::state::{Phase, Shared};
use crate::sync::{lock, wait_until};

/// The life of the recovery thread. Tells `opened` how the first login went.
pub(crate) fn supervise(shared: &Arc<Shared>, opened: &mpsc::SyncSender<Result<(), Error>>) {
    let mut connection = match caught(|| first(shared)) {
        Ok(connection) => {
            shared.next_generation();
            up(shared, &connection);
            Some(connection)
        }
        Err(refusal) => {
            let error = refusal.into_error();
            lock(&shared.status).phase = Phase::Failed(error.clone());
            // Whoever opened it may have left.
            let _ = opened.send(Err(error));
            return;
        }
    };
    let _ = opened.send(Ok(()));
    while let Some((level, reason)) = next_request(shared) {
        connection = recover(shared, connection, level, &reason);
    }
}

/// The first login. A library that reads its tokens while another process writes them may miss one, so that it is
/// asked a second time; not where that would disturb others.
fn first(shared: &Arc<Shared>) -> Result<Connection, Refusal> {
    for _ in 0..FIRST_ATTEMPTS {
        match connect(shared, None) {
            Err(Refusal::Later(Error::NoSuchToken | Error::Token(_) | Error::Config(_), pause))
                if shared.module.serves_one() =>
            {
                if !sleep(shared, jittered(FIRST_PAUSE).max(pause)) {
                    break;
                }
                shared.module.restart(shared.module.epoch())?;
            }
            result => return result,
        }
    }
    connect(shared, None)
}

/// Waits for a request, and keeps the token awake meanwhile. `None` when the token is closed.
fn next_request(shared: &Arc<Shared>) -> Option<(Level, Error)> {
    let interval = shared.settings.keep_alive;
    let mut due = Instant::now() + interval.unwrap_or(FOREVER);
    let mut status = lock(&shared.status);
    loop {
        if status.closed {
            return None;
        }
        if let Some(request) = status.request.take() {
            return Some(request);
        }
        if interval.is_some() && Instant::now() >= due && matches!(status.phase, Phase::Up) {
            drop(status);
            // A failure asks for recovery itself. A token that is at work needs no keeping awake, and those who wait
            // for a recovery may have all threads: this one is to make it, and must not queue behind them.
            let _ = shared.pool.call(shared, shared.settings.timeout, Share::Idle, |seat, ticket| {
                seat.run(ticket, Repeat::OnlyNow, Objects::Untouched, |bench| {
                    bench.session.generate_random_slice(&mut [0])?;
                    Ok(())
                })
            });
            due = Instant::now() + interval.unwrap_or(FOREVER);
            status = lock(&shared.status);
            continue;
        }
        let until = if matches!(status.phase, Phase::Up) { due } else { Instant::now() + FOREVER };
        status = wait_until(&shared.changed, status, until);
    }
}

/// Brings the token back, however long that takes.
fn recover(
    shared: &Arc<Shared>,
    before: Option<Connection>,
    level: Level,
    reason: &Error,
) -> Option<Connection> {
    let began = Instant::now();
    let mut level = level;
    let mut told = matches!(lock(&shared.status).phase, Phase::Down { .. });
    if told {
        shared.tell(&Event::Down { reason: reason.clone() });
    }
    let mut before = before;
    // A restart by another token of the library since then is as good as one of our own.
    let mut seen = lock(&shared.status).epoch;
    let mut pause = FIRST_PAUSE;
    loop {
        let library = level == Level::Library;
        let epoch = shared.module.epoch();
        add(if library { &shared.counters.library_recoveries } else { &shared.counters.login_recoveries });
        match caught(|| attempt(shared, &mut before, library.then_some(seen))) {
            Ok(connection) => {
                up(shared, &connection);
                shared.tell(&Event::Recovered { library, after: began.elapsed() });
                return Some(connection);
            }
            Err(Refusal::Never(error)) => {
                let mut status = lock(&shared.status);
                status.phase = Phase::Failed(error.clone());
                status.since = SystemTime::now();
                let refusal = status.phase.refusal();
                drop(status);
                shared.changed.notify_all();
                shared.pool.refuse_queued(&refusal);
                shared.tell(&Event::Failed { reason: error });
                return None;
            }
            Err(Refusal::Later(error, at_least)) => {
                // No library brings back a PIN that cannot be read, and others may be at work with this one.
                let without_pin = matches!(error, Error::Pin(_));
                // A login that fails otherwise may need no more than the library anew, at once.
                let patient = library || without_pin;
                let wait = if patient { jittered(pause) } else { Duration::ZERO }.max(at_least);
                down(shared, Instant::now() + wait, &error);
                if patient && !told {
                    told = true;
                    shared.tell(&Event::Down { reason: error });
                }
                if patient {
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                level = if without_pin { Level::Login } else { Level::Library };
                seen = if library { epoch } else { seen };
                if !sleep(shared, wait) {
                    return None;
                }
            }
        }
    }
}

fn attempt(
    shared: &Arc<Shared>,
    before: &mut Option<Connection>,
    restart: Option<u64>,
) -> Result<Connection, Refusal> {
    if let Some(seen) = restart {
        shared.module.restart(seen)?;
    }
    let connection = connect(shared, before.take())?;
    let generation = shared.next_generation();
    for key in shared.keys() {
        let timeout = shared.settings.timeout;
        let _turn = match key.objects() {
            Objects::Made => Some(shared.module.turn(Instant::now() + timeout, timeout)?),
            Objects::Untouched => None,
        };
        let _pass = shared.module.enter()?;
        if connection.session.is_stale() {
            // Another token had the library restarted.
            return Err(Error::Transient { retry_after: Duration::ZERO }.into());
        }
        match key.locate(shared, &connection.session, generation) {
            Err(Failure::Library(error)) => return Err(Error::Token(Fault::new(&error)).into()),
            // A token that calculates wrongly is not used, whatever the key.
            Err(Failure::Ours(Error::FaultyAnswer)) => {
                add(&shared.counters.faulty_answers);
                return Err(Error::FaultyAnswer.into());
            }
            // A key that is lost or refused is the matter of those who use it.
            Ok(_) | Err(Failure::Ours(_)) => {}
        }
    }
    Ok(connection)
}

/// A panic in here must not end the thread that everybody waits for.
fn caught<R>(work: impl FnOnce() -> Result<R, Refusal>) -> Result<R, Refusal> {
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(Error::Token(Fault::panic()).into()))
}

fn up(shared: &Shared, connection: &Connection) {
    let mut status = lock(&shared.status);
    status.phase = Phase::Up;
    status.since = SystemTime::now();
    status.slot = Some(connection.slot);
    status.epoch = connection.session.epoch();
    status.logins = connection.logins;
    status.request = None;
    drop(status);
    shared.changed.notify_all();
}

fn down(shared: &Shared, retry_at: Instant, reason: &Error) {
    let mut status = lock(&shared.status);
    if !matches!(status.phase, Phase::Down { .. }) {
        status.since = SystemTime::now();
    }
    status.phase = Phase::Down { retry_at, reason: reason.clone() };
    let refusal = status.phase.refusal();
    drop(status);
    shared.changed.notify_all();
    shared.pool.refuse_queued(&refusal);
}

/// False if the token was closed meanwhile.
fn sleep(shared: &Shared, pause: Duration) -> bool {
    let until = Instant::now() + pause;
    let mut status = lock(&shared.status);
    while !status.closed && Instant::now() < until {
        status = wait_until(&shared.changed, status, until);
    }
    !status.closed
}

/// Between three quarters and all of it, so that many processes do not come back at once.
fn jittered(pause: Duration) -> Duration {
    let nanos = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.subsec_nanos());
    pause - pause / 4 * (nanos % 1024) / 1024
}

/// How often a token that is not there is looked for when it is opened, besides the last time.
const FIRST_ATTEMPTS: usize = 2;

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Longer than any wait, short enough to be added to a time.
const FOREVER: Duration = Duration::from_secs(3600);
