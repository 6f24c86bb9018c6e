//! What a panic does in firmware: it is handed to the application.

use core::panic::PanicInfo;

unsafe extern "C" {
    /// Given by the application; must not return. On a device: reset, or stop and blink.
    fn taskseal_panic() -> !;
}

/// No panic can be reached from the interface by any input. Without a message, so that no text and no formatting
/// is linked.
#[panic_handler]
fn on_panic(_: &PanicInfo<'_>) -> ! {
    // SAFETY: takes nothing and never returns, by the contract in the header.
    unsafe { taskseal_panic() }
}
