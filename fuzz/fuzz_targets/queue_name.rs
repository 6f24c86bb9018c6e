//! A name that is accepted is kept as it is and cannot leave the braces of a Redis key.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taskseal::queue::QueueName;

fuzz_target!(|name: &str| if let Ok(queue) = QueueName::parse(name) {
    assert_eq!(queue.as_str(), name);
    assert!(!name.contains(['{', '}', ':', '/']) && !name.contains(char::is_control));
});
