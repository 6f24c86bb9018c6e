//! Google Cloud KMS and Secret Manager.

mod faults;
mod keys;
mod server;
