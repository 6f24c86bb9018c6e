//! Receipts as text, for a program that waits for a result in another process than the one that enqueued.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use taskseal_core::{TaskId, TaskType};

use super::Receipt;
use crate::queue::QueueName;

/// A [`Receipt`] with every value as text.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReceiptText {
    id: String,
    queue: String,
    queue_id: String,
    #[serde(rename = "type")]
    task_type: String,
    /// In hexadecimal digits.
    digest: String,
}

/// Writes the values as text: the digest in lower-case hexadecimal digits.
impl Serialize for Receipt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { id, queue, queue_id, task_type, digest } = self;
        let text = ReceiptText {
            id: id.to_string(),
            queue: queue.to_string(),
            queue_id: queue_id.clone(),
            task_type: task_type.clone(),
            digest: base16ct::lower::encode_string(digest),
        };
        text.serialize(serializer)
    }
}

/// Reads what [`Serialize`] wrote, and nothing else: a receipt decides which result a producer takes for its own.
impl<'de> Deserialize<'de> for Receipt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = ReceiptText::deserialize(deserializer)?;
        let id = TaskId::parse(&text.id).ok_or_else(|| D::Error::custom("`id` is not a task id"))?;
        let queue = QueueName::parse(&text.queue).map_err(D::Error::custom)?;
        TaskType::new(&text.task_type).map_err(D::Error::custom)?;
        let mut digest = [0; 32];
        let decoded = base16ct::lower::decode(&text.digest, &mut digest);
        if decoded.map_or(true, |bytes| bytes.len() != 32) {
            return Err(D::Error::custom("`digest` is not 64 hexadecimal digits in lower case"));
        }
        Ok(Self { id, queue, queue_id: text.queue_id, task_type: text.task_type, digest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt() -> Receipt {
        let queue = QueueName::parse("default").unwrap();
        Receipt::new(TaskId::from_bytes([7; 16]), queue, "mail:welcome", [0xab; 32])
    }

    #[test]
    fn receipt_is_read_as_it_was_written() {
        let json = serde_json::to_string(&receipt()).unwrap();
        assert_eq!(serde_json::from_str::<Receipt>(&json).unwrap(), receipt());
    }

    #[test]
    fn receipt_with_a_changed_value_of_another_form_is_refused() {
        let json = serde_json::to_string(&receipt()).unwrap();
        for (from, to) in [
            ("abab", "ab"),
            ("abab", "ABAB"),
            ("mail:welcome", ""),
            ("\"default\"", "\"a b\""),
            ("07070707-", "0707070-"),
            ("\"queue\"", "\"other\""),
        ] {
            let changed = json.replacen(from, to, 1);
            assert!(changed != json && serde_json::from_str::<Receipt>(&changed).is_err(), "{changed}");
        }
    }
}
