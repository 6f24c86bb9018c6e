//! A device in an emulator and a worker: the envelopes that the firmware of `core/firmware` seals are forwarded by a host
//! without keys, and run.
//!
//! It needs the emulator and the image, so it is ignored by default: `tests/run devices` builds the image and runs it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use serde_json::Value;
use taskseal_tests::redis::RedisServer;

use crate::support::program::Run;
use crate::support::project::Project;

const FORWARD: [&str; 5] = ["enqueue", "--queue", "default", "--sealed", "-"];
const POLICY: &str = "[policy]\n";

/// What the firmware printed in one boot.
#[derive(Debug)]
struct Boot {
    kid: String,
    public: String,
    epoch: u32,
    envelopes: Vec<Vec<u8>>,
}

/// A project whose queue is in Redis, and the flash of a device that encrypts to its worker.
struct Plant {
    project: Project,
    redis: RedisServer,
}

impl Plant {
    fn new() -> Self {
        let redis = RedisServer::start_or_skip().expect("a Redis server");
        let project = Project::new();
        let url = format!("url = \"{}\"\n# url =", redis.url());
        project.edit("taskseal.toml", "# url =", &url);
        project.edit("taskseal.toml", "type = \"file:digest\"", "type = \"reading:store\"");
        // In one write: two handlers may run at once.
        let store = "program = [\"/bin/sh\", \"-c\", \"body=$(cat); echo \\\"$body\\\" >> readings\"]";
        project.edit("taskseal.toml", "program = [\"./handlers/digest\"]", store);

        let keyset: toml::Table = fs::read_to_string(project.path("keyset.toml")).unwrap().parse().unwrap();
        let keys = keyset["key"].as_array().unwrap();
        let worker = keys.iter().find(|key| key["label"].as_str() == Some("decrypts tasks")).unwrap();
        let mut flash = b"taskseal".to_vec();
        flash.extend(Base64UrlUnpadded::decode_vec(worker["public"].as_str().unwrap()).unwrap());
        for (text, most) in [("sensor-17", 64), ("local/default", 128)] {
            flash.push(u8::try_from(text.len()).unwrap());
            flash.extend(text.as_bytes());
            flash.resize(flash.len() + most - text.len(), 0);
        }
        flash.resize(4 * 4096, 0xff);
        fs::write(project.path("flash.bin"), flash).unwrap();
        Self { project, redis }
    }

    /// Runs the image until it ends by itself.
    fn boot(&self) -> Boot {
        let image =
            PathBuf::from(std::env::var_os("TASKSEAL_FIRMWARE").expect("the image, as tests/run names it"));
        let mut child = Command::new("qemu-system-arm")
            .args(["-M", "mps2-an386", "-nographic", "-monitor", "none", "-serial", "none"])
            .args(["-semihosting-config", "enable=on,target=native", "-kernel"])
            .arg(image)
            .current_dir(self.project.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(120);
        while child.try_wait().unwrap().is_none() {
            if Instant::now() > deadline {
                child.kill().unwrap();
            }
            thread::sleep(Duration::from_millis(10));
        }
        let output = child.wait_with_output().unwrap();
        // Semihosting of the emulator writes to its standard error.
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.success(), "{text}");
        let words = |name: &'static str| {
            text.lines().filter_map(move |line| line.strip_prefix(name)?.strip_prefix(' '))
        };
        assert_eq!(words("issuer").collect::<Vec<_>>(), ["sensor-17"]);
        let (kid, public) = words("key").next().and_then(|line| line.split_once(' ')).expect(&text);
        Boot {
            kid: kid.to_owned(),
            public: public.to_owned(),
            epoch: words("epoch").next().unwrap().parse().unwrap(),
            envelopes: words("envelope").map(|line| Base64::decode_vec(line).unwrap()).collect(),
        }
    }

    fn forward(&self, envelope: &[u8]) -> Run {
        self.project.run_with(&FORWARD, envelope)
    }

    fn work(&self) -> Value {
        self.project.run(&["worker", "--once", "--json"]).ok().json()
    }

    fn readings(&self) -> Vec<String> {
        let text = fs::read_to_string(self.project.path("readings")).unwrap_or_default();
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    /// The codes of what the worker refused, oldest first.
    fn refused(&self) -> Vec<String> {
        let listed = self.project.run(&["quarantine", "ls", "--json"]).ok().text();
        let code =
            |line: &str| serde_json::from_str::<Value>(line).unwrap()["code"].as_str().unwrap().to_owned();
        listed.lines().map(code).collect()
    }

    /// A broker that forgets everything, so that what was delivered can be delivered again.
    fn forget(&self) {
        let client = redis::Client::open(self.redis.url()).unwrap();
        redis::cmd("FLUSHALL").exec(&mut client.get_connection().unwrap()).unwrap();
    }
}

#[test]
#[ignore = "needs an emulator and the image of the firmware: tests/run devices"]
fn readings_of_a_device_are_run_once_across_boots_and_never_again() {
    let plant = Plant::new();
    let first = plant.boot();
    assert_eq!((first.epoch, first.envelopes.len()), (1, 2));

    // The device is not enrolled; then it is, but devices without a clock are not accepted.
    assert!(plant.forward(&first.envelopes[0]).failed(3).hinted().err.contains("unknown-key"));
    let entry = format!(
        "\n[[key]]\nkid = \"{}\"\nalg = \"ES256\"\nuse = \"task\"\npublic = \"{}\"\n\
         issuers = [\"sensor-17\"]\ntypes = [\"reading:*\"]\naudiences = [\"local/*\"]\n",
        first.kid, first.public
    );
    let keyset = fs::read_to_string(plant.project.path("keyset.toml")).unwrap();
    fs::write(plant.project.path("keyset.toml"), keyset + &entry).unwrap();
    assert!(plant.forward(&first.envelopes[0]).failed(3).err.contains("clock-not-allowed"));
    plant.project.edit("taskseal.toml", POLICY, "[policy]\nclockless = true\n");
    let mut damaged = first.envelopes[0].clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert!(plant.forward(&damaged).failed(3).err.contains("rejected"));

    for envelope in &first.envelopes {
        plant.forward(envelope).ok();
    }
    let tally = plant.work();
    assert_eq!((&tally["succeeded"], &tally["refused"]), (&2.into(), &serde_json::json!({})), "{tally}");
    let once = ["{\"celsius\":21.500}", "{\"celsius\":21.750}"];
    assert_eq!(plant.readings(), once);

    // The second boot goes on in the next epoch, with the same key.
    let backup = fs::read(plant.project.path("flash.bin")).unwrap();
    let second = plant.boot();
    assert_eq!((second.epoch, &second.kid, second.envelopes.len()), (2, &first.kid, 2));
    for envelope in &second.envelopes {
        plant.forward(envelope).ok();
    }
    assert_eq!(plant.work()["succeeded"], 2);
    assert_eq!(plant.readings().len(), 4);

    // A broker that delivers once more what ran.
    plant.forget();
    for envelope in &first.envelopes {
        plant.forward(envelope).ok();
    }
    let tally = plant.work();
    assert_eq!(tally["succeeded"], 0, "{tally}");
    assert_eq!(plant.refused(), ["replayed", "replayed"]);

    // A device whose flash was set back numbers its readings as it did before.
    fs::write(plant.project.path("flash.bin"), backup).unwrap();
    let again = plant.boot();
    assert_eq!((again.epoch, &again.kid), (2, &first.kid));
    assert_ne!(again.envelopes, second.envelopes);
    plant.forget();
    for envelope in &again.envelopes {
        plant.forward(envelope).ok();
    }
    assert_eq!(plant.work()["succeeded"], 0);
    assert_eq!(plant.refused(), ["replayed", "replayed", "conflict", "conflict"]);
    assert_eq!(plant.readings().len(), 4);
}
