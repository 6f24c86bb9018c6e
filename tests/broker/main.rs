//! The brokers: what every operation does, on SQLite and on Redis.

mod conformance;
mod fixture;
mod model;
mod redis_asynq_groups;
mod redis_asynq_tasks;
mod redis_batches;
mod redis_bounds;
mod redis_faults;
mod redis_layout;
mod redis_losses;
mod redis_repairs;
mod redis_rights;
mod redis_tls;
mod redis_vectors;
mod sqlite_clock;
mod sqlite_damage;
mod sqlite_files;
mod sqlite_overlong;
mod sqlite_processes;
