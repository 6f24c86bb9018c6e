//! A sensor without a clock that seals its readings to a worker: the code that a device needs around `taskseal-core`.
//!
//! * [`storage`]: the content of the flash, with an epoch that survives power cuts.
//! * [`device`]: boot, registration data, and sealed readings.
//! * [`adapter`]: sources of randomness with the interfaces of older releases of `rand_core`.
//!
//! These modules do not depend on the emulator: use them with the flash and the source of randomness of your hardware
//! abstraction layer.
#![no_std]
#![forbid(unsafe_code)]

pub mod adapter;
pub mod device;
pub mod storage;
