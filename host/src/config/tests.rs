use std::fs;
use std::os::unix::fs::PermissionsExt;

use taskseal_core::{Audience, NameSet, Suite, SuiteSet};

use super::*;
use crate::keys::KeyRef;

const MINIMAL: &str = "deployment = \"plant-a\"\n";

const CLIENT: &str = r#"deployment = "plant-a"
[client]
issuer = "me"
suite = "SP"
key = "keys/me.key"
recipient = "0011223344556677"
"#;

const WORKER: &str = r#"deployment = "plant-a"
[worker]
decryption_keys = ["keys/worker.key"]
[[worker.queue]]
name = "default"
"#;

fn load(text: &str) -> Result<Config, FileError> {
    let dir = scratch();
    Config::load(&write(dir.path(), text))
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn write(dir: &Path, text: &str) -> PathBuf {
    let file = dir.join("taskseal.toml");
    fs::write(&file, text).unwrap();
    file
}

/// Line, field and message of the fault, and that it has a hint.
fn fault(text: &str) -> (usize, String, String) {
    let fault = load(text).unwrap_err();
    assert!(fault.hint.is_some(), "no hint: {fault}");
    (fault.position.unwrap().line, fault.field.clone().unwrap_or_default(), fault.message.clone())
}

#[test]
fn unknown_fields_and_sections_are_refused() {
    assert_eq!(fault("deployment = \"a\"\nbrokr = 1\n").2, "unknown field `brokr`");
    for section in ["broker", "state", "keys", "client", "worker", "policy"] {
        let (line, field, message) = fault(&format!("{MINIMAL}[{section}]\nnonsense = 1\n"));
        assert_eq!((line, message.as_str()), (3, "unknown field `nonsense`"));
        assert_eq!(field, format!("{section}.nonsense"));
    }
}

#[test]
fn values_out_of_range_or_without_unit_are_refused() {
    for (line, message) in [
        ("skew = \"301s\"", "\"301s\" is out of range"),
        ("skew = \"1h\"", "\"1h\" is out of range"),
        ("max_lifetime = \"0s\"", "\"0s\" is out of range"),
        ("max_lifetime = \"10\"", "`10` is not a duration"),
        ("max_lifetime = \"1.5h\"", "`1.5h` is not a duration"),
        ("max_lifetime = \"-1s\"", "`-1s` is not a duration"),
        ("max_lifetime = \"99999999999999999999d\"", "`99999999999999999999d` is not a duration"),
        ("max_lifetime = \"999999999999999999d\"", "`999999999999999999d` is not a duration"),
        ("max_body = \"17MiB\"", "17825792 bytes are out of range"),
        ("max_body = \"1MB\"", "`1MB` is not a size"),
        ("suites = [\"SP\", \"X\"]", "`X` is not a suite"),
        ("suites = [\"sign-encrypt\", \"Sign\"]", "`Sign` is not a suite"),
    ] {
        let (at, _, found) = fault(&format!("{MINIMAL}[policy]\n{line}\n"));
        assert_eq!((at, found.as_str()), (3, message));
    }
}

#[test]
fn number_in_place_of_a_duration_or_size_is_answered_with_one_in_quotes() {
    for (line, hint) in [
        ("max_lifetime = 3600", "expected a duration in quotes, such as \"30s\" or \"24h\""),
        ("max_body = 1024", "expected a size in quotes, such as \"64KiB\" or \"1MiB\""),
    ] {
        let error = load(&format!("{MINIMAL}[policy]\n{line}\n")).unwrap_err();
        assert_eq!(error.hint.as_deref(), Some(hint), "{error}");
    }
}

#[test]
fn limits_of_the_quarantine_out_of_range_or_too_small_for_a_task_are_refused() {
    let policy = "[policy]\nmax_body = \"1MiB\"\n";
    for (line, field, message) in [
        ("quarantine_entries = 99", "quarantine_entries", "99 is out of range"),
        ("quarantine_entries = 10000001", "quarantine_entries", "10000001 is out of range"),
        ("quarantine_bytes = \"1023KiB\"", "quarantine_bytes", "1047552 bytes are out of range"),
        ("quarantine_bytes = \"1025GiB\"", "quarantine_bytes", "1100585369600 bytes are out of range"),
        (
            "quarantine_bytes = \"2MiB\"",
            "quarantine_bytes",
            "`quarantine_bytes` is too small for a task of `max_body`",
        ),
    ] {
        let found = fault(&format!("{MINIMAL}[state]\n{line}\n{policy}"));
        assert_eq!(found.0, 3);
        assert!(
            found.2 == message && (found.1 == format!("state.{field}") || found.1.is_empty()),
            "{found:?}"
        );
    }
    let limits = |lines: &str| load(&format!("{MINIMAL}[state]\n{lines}")).unwrap().quarantine;
    assert_eq!(limits(""), Limits::default());
    let smallest = "quarantine_entries = 100\nquarantine_bytes = \"1MiB\"\n[policy]\nmax_body = \"64KiB\"\n";
    assert_eq!(limits(smallest), Limits { entries: 100, bytes: 1 << 20 });
    assert_eq!(limits("quarantine_bytes = \"1024GiB\"\n").bytes, 1 << 40);
}

#[test]
fn batch_of_zero_or_above_the_limit_of_a_signature_is_refused() {
    for (batch, message) in [("0", "0 is out of range"), ("1025", "1025 is out of range")] {
        let found = fault(&format!("{CLIENT}sign_batch = {batch}\n"));
        assert_eq!(found, (7, "client.sign_batch".into(), message.into()));
    }
    assert_eq!(load(&format!("{CLIENT}sign_batch = 1024\n")).unwrap().client.unwrap().sign_batch, 1024);
}

#[test]
fn field_of_an_earlier_version_is_refused_with_the_name_of_the_new_one() {
    let worker = |line: &str| WORKER.replace("[[worker", &format!("{line}\n[[worker"));
    for (text, line, field, hint) in [
        (format!("{CLIENT}batch = 64\n"), 7, "client.batch", "write `sign_batch` in [client]"),
        (worker("batch = 32"), 4, "worker.batch", "write `fetch_batch` in [worker]"),
        (worker("batches = true"), 4, "worker.batches", "write `batches` in [policy]"),
    ] {
        let found = load(&text).unwrap_err();
        assert_eq!((found.position.unwrap().line, found.field.as_deref()), (line, Some(field)));
        assert_eq!(found.message, format!("field `{}` was renamed", field.rsplit('.').next().unwrap()));
        assert_eq!(found.hint.as_deref(), Some(hint));
    }
}

#[test]
fn limits_of_the_archive_are_those_of_asynq_unless_they_are_set() {
    let found = fault(&format!("{MINIMAL}[broker]\narchive_max_tasks = 0\n"));
    assert_eq!(found, (3, "broker.archive_max_tasks".into(), "0 is out of range".into()));
    let found = fault(&format!("{MINIMAL}[broker]\narchive_max_age = \"0s\"\n"));
    assert_eq!(found, (3, "broker.archive_max_age".into(), "\"0s\" is out of range".into()));

    assert_eq!(load(MINIMAL).unwrap().archive, ArchiveLimits::default());
    for url in ["", "url = \"redis://localhost\"\n"] {
        let set = format!("{MINIMAL}[broker]\n{url}archive_max_tasks = 5\narchive_max_age = \"2d\"\n");
        let age = Duration::from_secs(2 * 86_400);
        assert_eq!(load(&set).unwrap().archive, ArchiveLimits { tasks: 5, age });
    }
}

#[test]
fn password_in_the_url_is_refused_and_not_shown() {
    for url in [
        "redis://user:hunter2@localhost:6379/0",
        "redis://:hunter2@localhost",
        "rediss://u:hun%40ter2@[::1]:6380",
        "redis://u:a/hunter2@localhost",
        "unix:///run/redis.sock?db=0&pass=hunter2",
    ] {
        let fault = load(&format!("{MINIMAL}[broker]\nurl = \"{url}\"\n")).unwrap_err();
        assert!(fault.message.starts_with("contains a password"), "{url}");
        assert_eq!(fault.field.as_deref(), Some("broker.url"));
        assert!(!format!("{fault}{:?}", fault.hint).contains("hunter"), "{fault}");
    }
    load(&format!("{MINIMAL}[broker]\nurl = \"redis://user@localhost:6379/0\"\n")).unwrap();
}

#[test]
fn fields_that_do_not_fit_the_suite_are_refused() {
    let without = CLIENT.replace("recipient = \"0011223344556677\"\n", "");
    let signed = CLIENT.replace("SP", "S");
    assert_eq!(fault(&signed), (6, "client.recipient".into(), "suite S takes no `recipient`".into()));
    let shared = without.replace("SP", "SE");
    assert_eq!(fault(&shared).2, "suite SE needs `encryption_key`");
    let both = format!("{CLIENT}encryption_key = \"k\"\n");
    assert_eq!(fault(&both).2, "suite SP takes no `encryption_key`");
    assert_eq!(fault(&CLIENT.replace("0011223344556677", "0011")).2, "not a kid");
}

#[test]
fn half_a_way_to_seal_results_is_refused() {
    let with = |line: &str| WORKER.replace("[[worker", &format!("{line}\n[[worker"));

    assert_eq!(fault(&with("result_suite = \"S\"")).2, "results need a key");
    assert_eq!(fault(&with("result_key = \"k\"")).2, "results need a suite");
}

#[test]
fn worker_without_a_queue_or_with_one_twice_is_refused() {
    let twice = format!("{WORKER}[[worker.queue]]\nname = \"default\"\n");
    assert_eq!(fault(&twice), (7, "worker.queue.name".into(), "duplicate queue `default`".into()));
    assert_eq!(fault(&format!("{MINIMAL}[worker]\nqueue = []\n")).2, "no queue to take tasks from");
    assert_eq!(fault(&WORKER.replace("default", "a b")).2, "`a b` is not a queue name");
}

#[test]
fn handlers_without_program_or_for_one_type_twice_are_refused() {
    let handler = "[[handler]]\ntype = \"a:*\"\nprogram = [\"./run\"]\n";

    assert!(fault(&format!("{MINIMAL}{handler}{handler}")).2.contains("duplicate task type"));
    assert_eq!(fault(&format!("{MINIMAL}{}", handler.replace("\"./run\"", ""))).2, "no program");
    assert!(fault(&format!("{MINIMAL}{}", handler.replace("a:*", "*:a"))).2.contains("not a task type"));
}

#[test]
fn time_limit_of_a_handler_over_that_of_the_worker_is_refused() {
    let handler = "[[handler]]\ntype = \"a:*\"\nprogram = [\"./run\"]\ntimeout = \"2h\"\n";
    assert_eq!(fault(&format!("{WORKER}{handler}")).2, "longer than the worker's limit of 1800 s");
    let raised = WORKER.replace("[worker]\n", "[worker]\nmax_timeout = \"2h\"\n");
    assert!(load(&format!("{raised}{handler}")).is_ok());
}

#[test]
fn longest_delay_of_retries_under_the_first_is_refused() {
    let worker = WORKER.replace("[worker]\n", "[worker]\nretry_longest = \"4s\"\n");
    assert_eq!(fault(&worker).2, "`retry_longest` is shorter than `retry_first`");
}

#[test]
fn longest_delay_under_the_first_is_refused_for_postponed_tasks_and_handlers() {
    let worker = WORKER.replace("[worker]\n", "[worker]\npostpone_longest = \"4s\"\n");
    assert_eq!(fault(&worker).2, "`postpone_longest` is shorter than `postpone_first`");
    let worker = WORKER.replace("[worker]\n", "[worker]\nretry_first = \"1m\"\n");
    let handler = "[[handler]]\ntype = \"t\"\nprogram = [\"cat\"]\nretry_longest = \"59s\"\n";
    assert_eq!(fault(&format!("{worker}{handler}")).2, "`retry_longest` is shorter than `retry_first`");
}

#[test]
fn delays_of_a_handler_are_by_default_those_of_the_worker() {
    let worker = WORKER.replace("[worker]\n", "[worker]\nretry_first = \"2s\"\nretry_longest = \"1m\"\n");
    let backoff = |fields: &str| {
        let handler = format!("[[handler]]\ntype = \"t\"\nprogram = [\"cat\"]\n{fields}");
        let config = load(&format!("{worker}{handler}")).unwrap();
        config.programs[0].backoff.map(|backoff| (backoff.first.as_secs(), backoff.longest.as_secs()))
    };
    assert_eq!(backoff(""), None);
    assert_eq!(backoff("retry_first = \"5m\"\n"), Some((300, 300)));
    assert_eq!(backoff("retry_longest = \"1h\"\n"), Some((2, 3600)));
    assert_eq!(backoff("retry_first = \"1s\"\nretry_longest = \"1s\"\n"), Some((1, 1)));
}

#[test]
fn settings_of_redis_without_redis_are_refused() {
    assert_eq!(fault(&format!("{MINIMAL}[broker]\nprefix = \"x\"\n")).2, "applies to Redis only");
    assert_eq!(fault(&format!("{MINIMAL}[broker]\nurl = \"http://x\"\n")).2, "not a queue");
    assert_eq!(fault(&format!("{MINIMAL}[broker]\nurl = \"embedded:\"\n")).2, "not a queue");
    let (line, field, message) = fault(&format!("{MINIMAL}[broker]\nurl = \"redis://h1,h2\"\n"));
    assert_eq!((line, field.as_str()), (3, "broker.url"));
    assert_eq!(message, "several servers in one address are not supported");
    assert_eq!(
        fault(&format!("{MINIMAL}[broker]\nurl = \"redis://h\"\nprefix = \"{{a}}\"\n")).2,
        "not a key prefix"
    );
}

#[test]
fn deployment_must_be_one_part_of_an_audience() {
    assert_eq!(fault("deployment = \"a/b\"\n").2, "`a/b` is not a valid name");
    assert_eq!(fault("deployment = \"\"\n").2, "`` is not a valid name");
    assert_eq!(load("").unwrap_err().message, "missing field `deployment`");
}

#[test]
fn password_file_open_to_others_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("password");
    fs::write(&path, "hunter2\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let source = PasswordSource::File(path.clone());
    let read = || source.read(dir.path(), &KeyStores::default());
    assert!(read().unwrap_err().to_string().contains("mode 0644"));

    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();

    assert_eq!(read().unwrap().as_str(), "hunter2");
}

#[test]
fn password_that_is_not_the_uri_of_a_source_is_refused_and_not_shown() {
    let broker = |fields: &str| format!("{MINIMAL}\n[broker]\nurl = \"redis://h\"\n{fields}");
    for text in ["hunter2", "hunter2:7777", "./hunter2", "/etc/hunter2"] {
        let error = load(&broker(&format!("password = \"{text}\"\n"))).unwrap_err();
        assert_eq!(error.message, "not the URI of a secret, and this file is not secret");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
    for second in ["password_file = \"p\"\n", "password_env = \"P\"\n"] {
        let error = load(&broker(&format!("password = \"env:P\"\n{second}"))).unwrap_err();
        assert_eq!(error.message, "`password` is set as well");
    }
    let embedded = load(&format!("{MINIMAL}\n[broker]\npassword = \"env:P\"\n")).unwrap_err();
    assert_eq!(embedded.message, "applies to Redis only");
}

#[test]
fn variable_with_a_secret_of_the_host_is_not_passed_to_a_program() {
    let handler =
        |names: &str| format!("[[handler]]\ntype = \"a\"\nprogram = [\"/bin/true\"]\npass_env = [{names}]\n");
    for secret in ["password = \"env:HIDDEN\"", "password_env = \"HIDDEN\""] {
        let broker = format!("{MINIMAL}\n[broker]\nurl = \"redis://h\"\n{secret}\n");
        let error = load(&(broker.clone() + &handler("\"LANG\", \"HIDDEN\""))).unwrap_err();
        assert_eq!(error.message, "`HIDDEN` contains a secret of this host");
        assert_eq!(error.field.as_deref(), Some("handler.pass_env"));
        load(&(broker + &handler("\"LANG\""))).unwrap();
    }
    let key = "[worker]\ndecryption_keys = [\"env:HIDDEN\"]\n[[worker.queue]]\nname = \"a\"\n";
    let error = load(&format!("{MINIMAL}\n{key}{}", handler("\"HIDDEN\""))).unwrap_err();
    assert_eq!(error.message, "`HIDDEN` contains a secret of this host");
}

#[test]
fn password_of_a_source_is_one_line_and_never_a_key_of_a_token() {
    let config =
        load(&format!("{MINIMAL}\n[broker]\nurl = \"redis://h\"\npassword = \"file:redis-password\"\n"))
            .unwrap();
    let BrokerConfig::Redis(redis) = &config.broker else { panic!("not Redis") };
    let source = redis.password.as_ref().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let read = |content: &str| {
        let path = dir.path().join("password");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        PasswordSource::Secret(path.into()).read(&config.file, &config.key_stores)
    };

    let missing = source.read(&config.file, &config.key_stores).unwrap_err();
    assert!(missing.to_string().contains("redis-password: broker.password: cannot be read"), "{missing}");
    let lines = read("hunter2\nhunter3\n").unwrap_err();
    assert!(lines.to_string().contains("a line break follows character 7"), "{lines}");
    assert!(!format!("{lines:?}").contains("hunter2"));
    #[cfg(feature = "pkcs11")]
    {
        let key = config.key_stores.parse("pkcs11:token=a;object=b", &config.file).unwrap();
        let error = PasswordSource::Secret(key).read(&config.file, &config.key_stores).unwrap_err();
        assert!(error.to_string().contains("does not hand out secrets as bytes"), "{error}");
    }
    assert_eq!(read("hunter2\n").unwrap().as_str(), "hunter2");
}

#[test]
fn certificates_need_tls_and_a_client_certificate_needs_its_key() {
    let fault = |broker: &str| load(&format!("{MINIMAL}\n[broker]\n{broker}")).unwrap_err().to_string();
    assert!(fault("ca_file = \"ca.crt\"\n").contains("Redis only"));
    assert!(fault("url = \"redis://h\"\nca_file = \"ca.crt\"\n").contains("TLS only"));
    assert!(fault("url = \"rediss://h\"\ncert_file = \"c.crt\"\n").contains("belong together"));
    assert!(fault("url = \"rediss://h\"\nkey_file = \"c.key\"\n").contains("belong together"));
}

#[test]
fn certificates_are_relative_to_the_configuration() {
    let broker =
        "[broker]\nurl = \"rediss://h\"\nca_file = \"ca.crt\"\ncert_file = \"c.crt\"\nkey_file = \"c.key\"\n";
    let config = load(&format!("{MINIMAL}\n{broker}")).unwrap();
    let folder = config.file.parent().unwrap();
    let BrokerConfig::Redis(redis) = &config.broker else { panic!("not Redis") };

    assert_eq!(redis.tls.roots, Some(folder.join("ca.crt")));
    assert_eq!(redis.tls.client, Some((folder.join("c.crt"), folder.join("c.key"))));
}

#[test]
fn missing_file_says_how_to_get_one() {
    let fault = Config::load(Path::new("/nonexistent/taskseal.toml")).unwrap_err();

    assert!(fault.hint.as_deref().unwrap().contains("taskseal init"));
}

#[test]
fn what_is_not_set_has_a_safe_default() {
    let config = load(MINIMAL).unwrap();
    let folder = config.file.parent().unwrap().to_owned();

    assert_eq!(config.broker, BrokerConfig::Sqlite(folder.join("queue/queue.db")));
    assert_eq!(config.keyset, folder.join("keyset.toml"));
    assert_eq!(config.policy.suites, SuiteSet::SIGNED_AND_ENCRYPTED);
    assert_eq!((config.policy.skew.as_secs(), config.policy.max_body), (60, 1 << 20));
    assert!(!config.policy.batches && !config.policy.clockless);
    assert!(config.client().is_err() && config.worker().is_err());
    assert_eq!(load(CLIENT).unwrap().client.unwrap().sign_batch, 1);
}

#[test]
fn paths_are_relative_to_the_file_and_programs_absolute() {
    let text = format!(
        "{WORKER}[[handler]]\ntype = \"t\"\nprogram = [\"./bin/run\", \"./arg\"]\n[[handler]]\ntype = \"u\"\nprogram = [\"cat\"]\n"
    );
    let config = load(&text).unwrap();
    let folder = config.file.parent().unwrap().to_owned();

    assert_eq!(config.worker.unwrap().decryption_keys, [KeyRef::from(folder.join("keys/worker.key"))]);
    assert_eq!(Path::new(&config.programs[0].program[0]), folder.join("bin/run"));
    assert_eq!(config.programs[0].program[1], "./arg");
    assert_eq!(config.programs[1].program, ["cat"]);
}

#[test]
fn everything_that_can_be_set_is_taken_over() {
    let text = format!(
        r#"{CLIENT}result_key = "keys/reader.key"
lifetime = "10m"
attempts = 3
timeout = "30s"
retention = "7d"
sign_batch = 64
[broker]
url = "rediss://user@redis.example:6380/2"
prefix = "seal"
password_env = "REDIS_PASSWORD"
[policy]
suites = ["S", "SP"]
batches = true
clockless = true
skew = "5s"
max_lifetime = "1h"
max_body = "64KiB"
[worker]
fetch_batch = 7
retry_first = "2s"
retry_longest = "6h"
postpone_first = "1s"
postpone_longest = "1h"
max_timeout = "2h"
[[worker.queue]]
name = "q"
"#
    );
    let config = load(&text).unwrap();
    let client = config.client().unwrap();

    assert_eq!(client.sealing.as_ref().unwrap().suite, Suite::Sp);
    assert_eq!((client.lifetime.as_secs(), client.attempts, client.sign_batch), (600, 3, 64));
    assert_eq!(client.retention.as_secs(), 7 * 86_400);
    let BrokerConfig::Redis(redis) = &config.broker else { panic!("not Redis") };
    assert_eq!(
        (redis.prefix.as_str(), redis.password.clone()),
        ("seal", Some(PasswordSource::Environment("REDIS_PASSWORD".into())))
    );
    let worker = config.worker().unwrap();
    assert_eq!((worker.deployment.as_str(), worker.fetch_batch, client.queue.as_str()), ("plant-a", 7, "q"));
    let backoff = worker.backoff;
    assert_eq!((backoff.first.as_secs(), backoff.longest.as_secs()), (2, 6 * 3600));
    let postpone = worker.postpone;
    assert_eq!((postpone.first.as_secs(), postpone.longest.as_secs()), (1, 3600));
    assert_eq!(worker.max_timeout.as_secs(), 7200);
    assert_eq!((&client.policy, &worker.policy), (&config.policy, &config.policy));
    let policy = config.policy.for_tasks(Audience::new("plant-a/q").unwrap(), NameSet::ANY);
    assert_eq!((policy.skew, policy.max_lifetime, policy.max_body), (5, 3600, 65_536));
    assert!(policy.accept_batches && policy.accept_clockless);
    assert!(policy.suites.contains(Suite::S) && !policy.suites.contains(Suite::Se));
}

#[test]
fn suites_are_accepted_by_either_name() {
    for (names, suites) in [
        ("[\"S\", \"M\", \"E\", \"SE\", \"SP\"]", Suite::ALL.as_slice()),
        ("[\"sign\", \"mac\", \"encrypt\", \"sign-encrypt\", \"sign-encrypt-to\"]", &Suite::ALL),
        ("[\"SE\", \"sign\"]", &[Suite::Se, Suite::S]),
    ] {
        let config = load(&format!("{MINIMAL}[policy]\nsuites = {names}\n")).unwrap();
        let expected = suites.iter().fold(SuiteSet::NONE, |set, suite| set.with(*suite));
        assert_eq!(config.policy.suites, expected, "{names}");
    }
}
