//! A sensor without a clock that seals its readings to a worker: what a device needs around `taskseal-core`.
//!
//! * [`storage`]: what lies in flash, and how an epoch is counted there that survives power cuts.
//! * [`device`]: from a boot to sealed readings.
//! * [`adapter`]: sources of randomness with the interfaces of older releases of `rand_core`.
//!
//! Nothing here knows the emulator: give it the flash and the source of randomness of your hardware abstraction layer.
#![no_std]
#![forbid(unsafe_code)]

pub mod adapter;
pub mod device;
pub mod storage;
