//! Both brokers do the same: one suite, mounted for each.

use taskseal_tests::conformance;
use taskseal_tests::embedded::QueueFile;

mod embedded {
    use super::*;

    conformance!(QueueFile::new());
}
