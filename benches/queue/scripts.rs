//! Redis CPU for one full cycle (enqueue, dequeue, done) of a 512-byte task, by tasks a call.
//!
//! Every case moves the same tasks through the same server in blocks, so that the active list, which `LREM`
//! searches, is equally long for all: 128, as with one worker, and 1024, as with a few. Each round has a
//! separate server, on which the cases alternate, so that other work on the machine affects all of them.
//!
//! asynq's shape is one `EVALSHA` a task and step, sent in three ways. Awaited: one connection that waits for each
//! answer, as the loop does with which a process of asynq fetches tasks. 32 connections: each waits for its own
//! answers, as a worker's 32 handlers do. In pipelines: everything at once on one connection, which asynq's
//! processes never do; it is what remains of the gain when the saved round trips are taken out.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use redis::{Cmd, Connection, FromRedisValue, Pipeline, Script, cmd};
use taskseal::broker::redis::asynq::Message;
use taskseal::broker::redis::{RedisBroker, RedisConfig};
use taskseal::broker::{Broker, Enqueued, NewTask, Settled, Settlement, TaskRecord};
use taskseal::queue::QueueName;
use taskseal_benches::{Samples, redis_cpu_seconds};
use taskseal_tests::redis::RedisServer;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const PAYLOAD: usize = 512;
const TASKS: usize = 8 * 1024;
const IN_FLIGHT: [usize; 2] = [128, 1024];
const ROUNDS: usize = 7;
const SIZES: [usize; 4] = [1, 8, 32, 128];

/// Handlers that a worker of asynq runs at once.
const CONNECTIONS: usize = 32;

/// The cases by number: three of asynq's shape, then ours, one for each of [`SIZES`].
const AWAITED: usize = 0;
const CONCURRENT: usize = 1;
const PIPELINED: usize = 2;
const OURS: usize = 3;
const CASES: usize = OURS + SIZES.len();

pub(crate) fn run() {
    println!("Redis CPU a full cycle (enqueue + dequeue + done), {PAYLOAD}-byte payload, {ROUNDS} rounds");
    for in_flight in IN_FLIGHT {
        compare(in_flight);
    }
}

fn compare(in_flight: usize) {
    let runtime = Runtime::new().expect("a runtime can be started");
    let queue = QueueName::parse("bench").expect("the name is good");
    let tasks: Vec<NewTask> = (0..in_flight).map(task).collect();
    let shape = AsynqShape::new(&tasks);
    let blocks = TASKS / in_flight;

    let mut samples: [Samples; CASES] = Default::default();
    for round in 0..ROUNDS {
        let server = RedisServer::start();
        let broker =
            Arc::new(RedisBroker::connect(&RedisConfig::new(server.url())).expect("the address is good"));
        let mut watch = server.raw();
        let mut raw: Vec<Connection> = (0..CONNECTIONS).map(|_| server.raw()).collect();
        shape.load(&mut watch);
        // Loads our scripts and makes the server's memory warm.
        runtime.block_on(cycle(&broker, &queue, &tasks, in_flight));

        // Each round starts with another case, so that none has the fresh server to itself.
        for turn in 0..CASES {
            let case = (round + turn) % CASES;
            let cost = measure(&mut watch, || {
                for _ in 0..blocks {
                    match case {
                        AWAITED => shape.cycle(raw.get_mut(..1).expect("a connection"), 1),
                        CONCURRENT => shape.cycle(&mut raw, 1),
                        PIPELINED => shape.cycle(raw.get_mut(..1).expect("a connection"), in_flight),
                        _ => {
                            let size = SIZES.get(case - OURS).expect("a case each");
                            runtime.block_on(cycle(&broker, &queue, &tasks, *size));
                        }
                    }
                }
            });
            samples.get_mut(case).expect("a case each").push(cost);
        }
    }

    let [awaited, concurrent, pipelined, ours @ ..] = &samples;
    println!(
        "\n{:<42} {:>8} {:>13}   times less than: {:>7} {:>8} {:>9}",
        format!("{in_flight} tasks in flight"),
        "us/task",
        "min-max",
        "awaited",
        "32 conn.",
        "pipelines"
    );
    let line = |case: &str, samples: &Samples| {
        let (cost, spread) = (samples.median(), samples.spread());
        let [one, many, best] = [awaited, concurrent, pipelined].map(|peer| peer.median() / cost);
        println!(
            "  {case:<40} {cost:>8.1} {spread:>13}                    {one:>7.2} {many:>8.2} {best:>9.2}"
        );
    };
    line("asynq's shape, awaited", awaited);
    line("asynq's shape, 32 connections", concurrent);
    line("asynq's shape, in pipelines", pipelined);
    for (size, samples) in SIZES.into_iter().zip(ours) {
        line(&format!("ours, {size} a call"), samples);
    }
}

/// Microseconds of Redis CPU a task.
fn measure(watch: &mut Connection, work: impl FnOnce()) -> f64 {
    let before = redis_cpu_seconds(watch);
    work();
    (redis_cpu_seconds(watch) - before) * 1e6 / TASKS as f64
}

fn task(number: usize) -> NewTask {
    NewTask::now(TaskRecord {
        task_type: "email:deliver".to_owned(),
        envelope: vec![0xa5; PAYLOAD].into(),
        id: format!("0199f1a2-7c3d-7e00-8000-{number:012x}"),
        queue: "bench".to_owned(),
        ..TaskRecord::default()
    })
}

async fn cycle(broker: &Arc<RedisBroker>, queue: &QueueName, tasks: &[NewTask], size: usize) {
    let mut calls = JoinSet::new();
    for chunk in tasks.chunks(size) {
        let (broker, queue, chunk) = (Arc::clone(broker), queue.clone(), chunk.to_vec());
        calls.spawn(async move { broker.enqueue(&queue, &chunk).await.expect("enqueue") });
    }
    let stored: Vec<Enqueued> = calls.join_all().await.concat();
    assert!(stored.len() == tasks.len() && stored.iter().all(|stored| *stored == Enqueued::New));

    let mut calls = JoinSet::new();
    for _ in 0..tasks.len() / size {
        let (broker, queue) = (Arc::clone(broker), queue.clone());
        calls.spawn(
            async move { broker.dequeue(&queue, size, Duration::from_secs(30)).await.expect("dequeue") },
        );
    }
    let leased = calls.join_all().await;

    let mut calls = JoinSet::new();
    for leased in leased {
        let (broker, queue) = (Arc::clone(broker), queue.clone());
        let ends: Vec<_> = leased.tasks.into_iter().map(|task| (task.lease, Settlement::Done)).collect();
        calls.spawn(async move { broker.settle(&queue, &ends).await.expect("settle") });
    }
    let settled: Vec<Settled> = calls.join_all().await.concat();
    assert!(settled.len() == tasks.len() && settled.iter().all(|settled| *settled == Settled::Done));
}

/// The same effects as asynq has, one task a call.
struct AsynqShape {
    enqueue: Script,
    dequeue: Script,
    done: Script,
    tasks: Vec<(String, Vec<u8>)>,
}

impl AsynqShape {
    fn new(tasks: &[NewTask]) -> Self {
        let encode = |task: &NewTask| (task.record.id.clone(), Message::from(&task.record).encode());
        Self {
            enqueue: Script::new(ENQUEUE),
            dequeue: Script::new(DEQUEUE),
            done: Script::new(DONE),
            tasks: tasks.iter().map(encode).collect(),
        }
    }

    fn load(&self, raw: &mut Connection) {
        for script in [&self.enqueue, &self.dequeue, &self.done] {
            script.load(raw).expect("the script is well-formed");
        }
    }

    /// Every task through the three steps, `window` calls being under way at once on each connection.
    fn cycle(&self, raw: &mut [Connection], window: usize) {
        let key = |name: &str| format!("asynq:{{bench}}:{name}");
        let hash = |id: &str| format!("asynq:{{bench}}:t:{id}");

        let enqueue = self.tasks.iter().map(|(id, message)| {
            let mut call = call(&self.enqueue, &[&hash(id), &key("pending")]);
            call.arg(message.as_slice()).arg(id).arg(1_795_289_372_846_169_638_i64);
            call
        });
        let stored: Vec<u8> = send(raw, enqueue, window);
        assert!(stored.iter().all(|stored| *stored == 1));

        let dequeue = self.tasks.iter().map(|_| {
            let keys = [key("pending"), key("paused"), key("active"), key("lease")];
            let mut call = call(&self.dequeue, &keys.each_ref().map(String::as_str));
            call.arg(1_795_289_408).arg(key("t:"));
            call
        });
        let mut messages: Vec<Vec<u8>> = send(raw, dequeue, window);
        messages.sort();
        assert!(messages.iter().zip(&self.tasks).all(|(message, (_, stored))| message == stored));

        let done = self.tasks.iter().map(|(id, _)| {
            let keys = [key("active"), key("lease"), hash(id), key("processed:2026-11-21"), key("processed")];
            let mut call = call(&self.done, &keys.each_ref().map(String::as_str));
            call.arg(id).arg(1_803_065_388).arg(i64::MAX);
            call
        });
        let done: Vec<String> = send(raw, done, window);
        assert!(done.len() == self.tasks.len() && done.iter().all(|done| done == "OK"));
    }
}

fn call(script: &Script, keys: &[&str]) -> Cmd {
    let mut call = cmd("EVALSHA");
    call.arg(script.get_hash()).arg(keys.len()).arg(keys);
    call
}

/// Shares the calls out among the connections, which work at the same time.
fn send<T: FromRedisValue + Send>(
    raw: &mut [Connection],
    calls: impl Iterator<Item = Cmd>,
    window: usize,
) -> Vec<T> {
    let calls: Vec<Cmd> = calls.collect();
    let share = calls.len() / raw.len();
    thread::scope(|scope| {
        let senders: Vec<_> = raw
            .iter_mut()
            .zip(calls.chunks(share))
            .map(|(raw, calls)| scope.spawn(move || send_on(raw, calls, window)))
            .collect();
        senders.into_iter().flat_map(|sender| sender.join().expect("the answers are as expected")).collect()
    })
}

fn send_on<T: FromRedisValue>(raw: &mut Connection, calls: &[Cmd], window: usize) -> Vec<T> {
    let mut answers = Vec::with_capacity(calls.len());
    for calls in calls.chunks(window) {
        let mut pipeline = Pipeline::with_capacity(calls.len());
        for call in calls {
            pipeline.add_command(call.clone());
        }
        answers.extend(pipeline.query::<Vec<T>>(raw).expect("the scripts are well-formed"));
    }
    answers
}

const ENQUEUE: &str = "
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'msg', ARGV[1], 'state', 'pending', 'pending_since', ARGV[3])
redis.call('LPUSH', KEYS[2], ARGV[2])
return 1";

const DEQUEUE: &str = "
if redis.call('EXISTS', KEYS[2]) == 1 then return nil end
local id = redis.call('RPOPLPUSH', KEYS[1], KEYS[3])
if not id then return nil end
local task = ARGV[2] .. id
redis.call('HSET', task, 'state', 'active')
redis.call('HDEL', task, 'pending_since')
redis.call('ZADD', KEYS[4], ARGV[1], id)
return redis.call('HGET', task, 'msg')";

const DONE: &str = "
if redis.call('LREM', KEYS[1], 0, ARGV[1]) == 0 then return redis.error_reply('NOT FOUND') end
if redis.call('ZREM', KEYS[2], ARGV[1]) == 0 then return redis.error_reply('NOT FOUND') end
if redis.call('DEL', KEYS[3]) == 0 then return redis.error_reply('NOT FOUND') end
if redis.call('INCR', KEYS[4]) == 1 then redis.call('EXPIREAT', KEYS[4], ARGV[2]) end
local total = redis.call('GET', KEYS[5])
if tonumber(total) == tonumber(ARGV[3]) then
  redis.call('SET', KEYS[5], 1)
else
  redis.call('INCR', KEYS[5])
end
return redis.status_reply('OK')";
