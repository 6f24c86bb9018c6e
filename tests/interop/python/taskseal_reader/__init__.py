"""A strict reader of taskseal envelopes, written from core/docs/envelope.md alone."""
