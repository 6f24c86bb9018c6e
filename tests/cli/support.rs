//! What runs the program: projects, queues, servers, tokens.

pub(crate) mod project;
pub(crate) mod queue;
pub(crate) mod redis;
pub(crate) mod token;
