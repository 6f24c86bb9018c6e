//! `taskseal keyset`: the life of a key, the refusals on its way, and signing.

mod changes;
mod hosts;
mod life;
mod roots;
mod signing;
mod tokens;
