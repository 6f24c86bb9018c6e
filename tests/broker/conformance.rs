//! Both brokers do the same: one suite, mounted for each.

use taskseal_tests::conformance;

mod embedded {
    use taskseal_tests::embedded::QueueFile;

    use super::*;

    conformance!(QueueFile::new());
}

mod redis {
    use taskseal_tests::redis::RedisServer;

    use super::*;

    // A machine without the server says so; everything else in the suite runs.
    conformance!(match RedisServer::start_or_skip() {
        Some(server) => server,
        None => return,
    });
}
