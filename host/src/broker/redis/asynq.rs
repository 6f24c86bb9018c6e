//! asynq's own form of a task.

pub use self::detached::DETACHED_HEADER;
pub use self::message::{Message, NewMessage};
pub use self::wire::DecodeMessageError;

mod detached;
mod message;
mod record;
mod wire;
