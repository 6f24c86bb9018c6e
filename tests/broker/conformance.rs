//! One suite of behaviours, run on both brokers.

use taskseal_tests::conformance;

mod embedded {
    use taskseal_tests::embedded::QueueFile;

    use super::*;

    conformance!(QueueFile::new());
}

mod redis {
    use taskseal_tests::redis::RedisServer;

    use super::*;

    // Without the server these tests report that they are skipped.
    conformance!(match RedisServer::start_or_skip() {
        Some(server) => server,
        None => return,
    });
}
