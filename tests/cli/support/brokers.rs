//! A project on each broker.

use taskseal_tests::redis::RedisServer;

use super::project::Project;

/// Line of the configuration that names no Redis.
const NO_URL: &str = "# url = \"rediss://taskseal@redis.example:6380/0\"";

impl Project {
    /// A project whose queue is in this server.
    pub(crate) fn on_redis(server: &RedisServer) -> Self {
        let project = Self::new();
        project.edit("taskseal.toml", NO_URL, &format!("url = \"{}\"", server.url()));
        project
    }
}

/// Runs a test on a project with the embedded queue, then with Redis if there is one.
pub(crate) fn on_both_brokers(test: impl Fn(&Project)) {
    test(&Project::new());
    if let Some(server) = RedisServer::start_or_skip() {
        test(&Project::on_redis(&server));
    }
}
