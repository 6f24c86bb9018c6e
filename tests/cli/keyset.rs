//! `taskseal keyset`: the life of a key, the refusals on its way, and signing.

mod changes;
mod hosts;
mod life;
mod roots;
mod rotation;
mod signing;
mod tokens;
