//! A message that is accepted survives encoding, and is then in its one canonical form.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taskseal::message::Message;

fuzz_target!(|bytes: &[u8]| if let Ok(message) = Message::decode(bytes) {
    let canonical = message.encode();
    let again = Message::decode(&canonical).expect("an encoded message can be read");
    assert_eq!(again, message);
    assert_eq!(again.encode(), canonical);
});
