//! Arguments that describe a task: its id, reference, type and media type.

use taskseal_core::name::Reference;
use taskseal_core::{ContentType, TaskId, TaskType};

use crate::failure::Failure;

/// Returns the given task id, or a new one.
pub(crate) fn id(text: Option<&str>) -> Result<TaskId, Failure> {
    match text {
        None => Ok(TaskId::from_bytes(*uuid::Uuid::now_v7().as_bytes())),
        Some(text) => TaskId::parse(text).ok_or_else(|| {
            Failure::usage(format!("`{text}` is not a task id")).hint("a task id is a UUID in lower case")
        }),
    }
}

/// Returns a task type.
pub(crate) fn task_type(text: &str) -> Result<TaskType<'_>, Failure> {
    TaskType::new(text).map_err(|error| Failure::usage(format!("`{text}` is not a task type: {error}")))
}

/// Returns the media type of a body.
pub(crate) fn content_type(text: &str) -> Result<ContentType<'_>, Failure> {
    ContentType::new(text).map_err(|_| Failure::usage(format!("`{text}` is not a media type")))
}

/// Returns the reference of a task.
pub(crate) fn reference(text: &str) -> Result<Reference<'_>, Failure> {
    Reference::new(text).map_err(|error| Failure::usage(format!("`{text}` is not a reference: {error}")))
}
