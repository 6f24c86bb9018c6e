//! asynq's own form of a task.

pub use self::message::{Message, NewMessage};
pub use self::wire::DecodeMessageError;

mod message;
mod record;
mod wire;
