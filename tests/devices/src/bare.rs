//! The same without an operating system: text and exit code go to the debugger, over semihosting.

use core::panic::PanicInfo;

use cortex_m_rt::entry;
use cortex_m_semihosting::{debug, hio, hprintln};

#[entry]
fn main() -> ! {
    let mut out = hio::hstdout().unwrap_or_else(|()| panic!("no output"));
    let report = taskseal_devices::run(&mut out);
    hprintln!("{}", report);
    end(report.wrong == 0)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    hprintln!("{}", info);
    end(false)
}

fn end(is_right: bool) -> ! {
    debug::exit(if is_right { debug::EXIT_SUCCESS } else { debug::EXIT_FAILURE });
    // Without a debugger the processor continues here.
    loop {
        cortex_m::asm::wfi();
    }
}
