//! The panic handler of firmware, which calls the application.

use core::panic::PanicInfo;

unsafe extern "C" {
    /// Provided by the application; must not return. A device resets, or stops and signals the fault.
    fn taskseal_panic() -> !;
}

/// No input is known to cause a panic. The message is discarded, so that no text or formatting is linked.
#[panic_handler]
fn on_panic(_: &PanicInfo<'_>) -> ! {
    // SAFETY: takes no arguments and never returns, by the contract in the header.
    unsafe { taskseal_panic() }
}
