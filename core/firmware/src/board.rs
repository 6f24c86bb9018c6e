//! The program of the device.

use core::fmt::Write;
use core::panic::PanicInfo;

use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use cortex_m_rt::entry;
use cortex_m_semihosting::{debug, hprintln};
use heapless::String;
use taskseal_firmware::adapter::FromRng06;
use taskseal_firmware::device::Device;

use crate::emulator::{FileFlash, HostRng};

/// Sufficient for an envelope around a reading with names of maximum length.
const ENVELOPE: usize = 896;

#[entry]
fn main() -> ! {
    let result = run();
    if let Err(what) = &result {
        hprintln!("error {}", what);
    }
    debug::exit(if result.is_ok() { debug::EXIT_SUCCESS } else { debug::EXIT_FAILURE });
    loop {
        cortex_m::asm::wfi();
    }
}

fn run() -> Result<(), &'static str> {
    let mut flash = FileFlash::open().ok_or("flash.bin, the flash of the emulator, not found")?;
    // As in most hardware abstraction layers.
    let rng = FromRng06(HostRng::open().ok_or("no source of randomness")?);
    let mut device = Device::boot(&mut flash, rng).map_err(|error| {
        hprintln!("boot: {}", error);
        "the device does not boot"
    })?;

    hprintln!("issuer {}", device.issuer());
    let key = device.verifying_key();
    let mut text = [0; 88];
    let point = Base64UrlUnpadded::encode(&key.to_point(), &mut text)
        .map_err(|_| "the buffer is too small for the key")?;
    hprintln!("key {} {}", key.kid(), point);
    hprintln!("epoch {}", device.next().epoch);
    for millidegrees in [21_500, 21_750] {
        let mut reading = String::<64>::new();
        let (degrees, rest) = (millidegrees / 1000, millidegrees % 1000);
        write!(reading, "{{\"celsius\":{degrees}.{rest:03}}}")
            .map_err(|_| "the buffer is too small for the reading")?;

        let mut buffer = [0; ENVELOPE];
        let sealed = device.seal(reading.as_bytes(), &mut buffer).map_err(|_| "nothing was sealed")?;
        let mut text = [0; ENVELOPE.div_ceil(3) * 4];
        hprintln!("envelope {}", Base64::encode(sealed, &mut text).map_err(|_| "no room for the text")?);
    }
    Ok(())
}

/// A real device would reset: its readings are lost, its epoch is stored.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    hprintln!("error the device panicked");
    debug::exit(debug::EXIT_FAILURE);
    loop {
        cortex_m::asm::wfi();
    }
}
