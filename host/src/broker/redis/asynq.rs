//! asynq's own forms of a task.

pub use self::message::Message;
pub use self::wire::DecodeMessageError;

mod message;
mod wire;
