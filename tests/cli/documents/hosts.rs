//! Pages for a producer and a worker on two hosts: each has a folder with its configuration, its keys and its keyset.

use redis::cmd;
use taskseal_tests::documents::Block;

use super::reader::Reader;

/// Returns the host that the text before the block, or before an earlier one, names last.
fn host<'h>(block: &Block<'_>, current: &'h str) -> &'h str {
    let mut host = current;
    for line in block.before.lines() {
        for name in ["producer", "worker"] {
            if line.contains(&format!("{name} host")) || line.ends_with(&format!("Configure the {name}")) {
                host = name;
            }
        }
    }
    host
}

pub(crate) fn two_hosts(reader: &mut Reader) {
    let mut raw = reader.redis.as_ref().unwrap().raw();
    for user in ["producer", "worker"] {
        cmd("ACL").arg(&["SETUSER", user, "on", ">secret", "~*", "&*", "+@all"]).exec(&mut raw).unwrap();
        reader.enter(user);
        reader.write("redis-password", "secret\n", 0o600);
    }
    let page = reader.page.clone();
    let (mut last, mut current) = (String::new(), "");
    for block in page.blocks() {
        current = host(&block, current);
        reader.enter(current);
        match block.language {
            "console" => last = reader.run(&block),
            "toml" => {
                give_both_hosts_the_keyset(reader);
                reader.enter(current);
                reader.write("taskseal.toml", block.text, 0o644);
            }
            "sh" => reader.write("handlers/send", block.text, 0o755),
            other => panic!("a block of {other}"),
        }
    }
    assert!(last.ends_with("sent to ada@example.org\n"), "{last}");
}

/// Puts the entries of both hosts into the keyset of both, and takes the key identifiers of the page from them.
fn give_both_hosts_the_keyset(reader: &mut Reader) {
    let entries =
        |host: &str| std::fs::read_to_string(reader.path(&format!("{host}/{host}-entries.toml"))).unwrap();
    let (producer, worker) = (entries("producer"), entries("worker"));
    for host in ["producer", "worker"] {
        reader.enter(host);
        reader.write("keyset.toml", &format!("{producer}{worker}"), 0o644);
    }
}

/// A worker of the deployment `prod` with the queue `billing`, and a producer host with the program and no key.
pub(crate) fn add_a_producer(reader: &mut Reader) {
    reader.enter("worker");
    let _ = reader.prepare("taskseal init . --deployment prod");
    let configuration = reader.read("taskseal.toml");
    let configuration = configuration.replace("name = \"default\"", "name = \"billing\"");
    reader.write("taskseal.toml", &configuration.replace("file:digest", "invoice:*"), 0o644);
    let keyset = reader.read("keyset.toml");
    let page = reader.page.clone();
    let blocks = page.blocks();
    let [generate, try_it, look] = &blocks[..] else { panic!("three blocks") };

    reader.enter("producer");
    let _ = reader.run(generate);
    let entry = reader.read("entry.toml");
    let client = "deployment = \"prod\"\n[broker]\nurl = \"embedded:../worker/queue/queue.db\"\n[client]\nissuer = \"orders-2\"\n\
         suite = \"SP\"\nkey = \"keys/sign.key\"\nresult_key = \"keys/result.key\"\n";
    reader.write("taskseal.toml", client, 0o644);
    for host in ["producer", "worker"] {
        reader.enter(host);
        reader.write("keyset.toml", &format!("{keyset}{entry}"), 0o644);
    }
    reader.enter("producer");
    let _ = reader.run(try_it);
    reader.enter("worker");
    let _ = reader.run(look);

    let printed = reader.prepare("taskseal worker --once");
    assert!(printed.contains("done: 1 succeeded"), "{printed}");
}
