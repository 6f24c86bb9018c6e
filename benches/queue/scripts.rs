//! Redis CPU for one full cycle (enqueue, dequeue, done) of a 512-byte task, by tasks a call.
//!
//! Every case moves the same tasks through the same server in blocks, so that the active list, which `LREM`
//! searches, is equally long for all: 128, as with one worker, and 1024, as with a few. Calls of a block are in flight together. Rounds alternate between
//! the cases and the median of a case is shown, because other work on the machine comes in waves.

use std::sync::Arc;
use std::time::Duration;

use redis::{Connection, Script, cmd, pipe};
use taskseal::broker::redis::{RedisBroker, RedisConfig};
use taskseal::broker::{Broker, Enqueued, NewTask, Settled, Settlement};
use taskseal::message::Message;
use taskseal::queue::QueueName;
use taskseal_tests::redis::RedisServer;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const PAYLOAD: usize = 512;
const TASKS: usize = 8 * 1024;
const IN_FLIGHT: [usize; 2] = [128, 1024];
const ROUNDS: usize = 5;
const SIZES: [usize; 4] = [1, 8, 32, 128];

pub(crate) fn run() {
    println!("Redis CPU a full cycle (enqueue + dequeue + done), {PAYLOAD}-byte payload, median of {ROUNDS}");
    for in_flight in IN_FLIGHT {
        compare(in_flight);
    }
}

fn compare(in_flight: usize) {
    let server = RedisServer::start();
    let runtime = Runtime::new().expect("a runtime can be started");
    let broker =
        Arc::new(RedisBroker::connect(&RedisConfig::new(server.url())).expect("the address is good"));
    let queue = QueueName::parse("bench").expect("the name is good");
    let tasks: Vec<NewTask> = (0..in_flight).map(task).collect();
    let blocks = TASKS / in_flight;
    let mut raw = server.raw();
    let shape = AsynqShape::new(&tasks);

    let mut reference = Vec::new();
    let mut ours: [Vec<f64>; SIZES.len()] = Default::default();
    for round in 0..=ROUNDS {
        let cost = measure(&mut server.raw(), || {
            for _ in 0..blocks {
                shape.cycle(&mut raw);
            }
        });
        let costs = SIZES.map(|size| {
            measure(&mut server.raw(), || {
                runtime.block_on(async {
                    for _ in 0..blocks {
                        cycle(&broker, &queue, &tasks, size).await;
                    }
                });
            })
        });
        // The first round loads the scripts and warms the allocator.
        if round > 0 {
            reference.push(cost);
            ours.iter_mut().zip(costs).for_each(|(all, cost)| all.push(cost));
        }
    }

    let reference = median(reference);
    println!("{:<42} {:>10} {:>8}", format!("{in_flight} tasks in flight"), "us/task", "ratio");
    println!("{:<42} {reference:>10.1} {:>8.2}", "  asynq's shape, 1 task a call, pipelined", 1.0);
    for (size, costs) in SIZES.into_iter().zip(ours) {
        let cost = median(costs);
        let case = format!("  ours, {size} tasks a call");
        println!("{case:<42} {cost:>10.1} {:>8.2}", reference / cost);
    }
}

/// Microseconds of Redis CPU a task.
fn measure(raw: &mut Connection, work: impl FnOnce()) -> f64 {
    let before = cpu_seconds(raw);
    work();
    (cpu_seconds(raw) - before) * 1e6 / TASKS as f64
}

fn cpu_seconds(raw: &mut Connection) -> f64 {
    let info: String = cmd("INFO").arg("cpu").query(raw).expect("INFO cpu");
    let value = |name: &str| -> f64 {
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|value| value.trim().parse().ok()).expect("INFO cpu tells it")
    };
    value("used_cpu_user") + value("used_cpu_sys")
}

fn median(mut costs: Vec<f64>) -> f64 {
    costs.sort_by(f64::total_cmp);
    costs.get(costs.len() / 2).copied().unwrap_or(f64::NAN)
}

fn task(number: usize) -> NewTask {
    let message = Message {
        task_type: "email:deliver".to_owned(),
        payload: vec![0xa5; PAYLOAD],
        id: format!("0199f1a2-7c3d-7e00-8000-{number:012x}"),
        queue: "bench".to_owned(),
        retry: 25,
        timeout: 1800,
        ..Message::default()
    };
    NewTask { message, process_at: None }
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

/// The same effects as asynq has, one task a call, sent in pipelines of a block.
struct AsynqShape {
    enqueue: Script,
    dequeue: Script,
    done: Script,
    tasks: Vec<(String, Vec<u8>)>,
}

impl AsynqShape {
    fn new(tasks: &[NewTask]) -> Self {
        let encode = |task: &NewTask| (task.message.id.clone(), task.message.encode());
        Self {
            enqueue: Script::new(ENQUEUE),
            dequeue: Script::new(DEQUEUE),
            done: Script::new(DONE),
            tasks: tasks.iter().map(encode).collect(),
        }
    }

    fn cycle(&self, raw: &mut Connection) {
        for script in [&self.enqueue, &self.dequeue, &self.done] {
            script.load(raw).expect("the script is well-formed");
        }
        let key = |name: &str| format!("asynq:{{bench}}:{name}");
        let hash = |id: &str| format!("asynq:{{bench}}:t:{id}");

        let mut enqueue = pipe();
        for (id, message) in &self.tasks {
            let call = enqueue.cmd("EVALSHA").arg(self.enqueue.get_hash()).arg(2);
            call.arg(hash(id))
                .arg(key("pending"))
                .arg(message.as_slice())
                .arg(id)
                .arg(1_795_289_372_846_169_638_i64);
        }
        let stored: Vec<u8> = enqueue.query(raw).expect("enqueue");
        assert!(stored.iter().all(|stored| *stored == 1));

        let mut dequeue = pipe();
        for _ in &self.tasks {
            let call = dequeue.cmd("EVALSHA").arg(self.dequeue.get_hash()).arg(4);
            call.arg(key("pending")).arg(key("paused")).arg(key("active")).arg(key("lease"));
            call.arg(1_795_289_408).arg(key("t:"));
        }
        let messages: Vec<Vec<u8>> = dequeue.query(raw).expect("dequeue");
        assert!(messages.iter().zip(&self.tasks).all(|(message, (_, stored))| message == stored));

        let mut done = pipe();
        for (id, _) in &self.tasks {
            let call = done.cmd("EVALSHA").arg(self.done.get_hash()).arg(5);
            call.arg(key("active")).arg(key("lease")).arg(hash(id));
            call.arg(key("processed:2026-11-21")).arg(key("processed"));
            call.arg(id).arg(1_803_065_388).arg(i64::MAX);
        }
        let done: Vec<String> = done.query(raw).expect("done");
        assert!(done.iter().all(|done| done == "OK"));
    }
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
