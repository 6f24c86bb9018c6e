//! Conversions from pointers to references, which rely on the contract of the C caller.

use core::ffi::c_char;
use core::slice;
use core::str;

use zeroize::Zeroize;

use crate::code::{Code, Outcome};

/// A text, not necessarily terminated by NUL. It is not copied and must stay valid while it is used.
///
/// `TASKSEAL_TEXT("sensor-17")` is a text as an argument or for assignment. `TASKSEAL_TEXT_INIT("sensor-17")`
/// initialises a text, also a static one. `taskseal_text_of(name)` converts a string that ends in NUL.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct taskseal_text {
    /// The first character; NULL only if the text is empty.
    pub start: *const c_char,
    /// Number of characters, without a NUL.
    pub length: usize,
}

impl taskseal_text {
    pub(crate) const fn of(text: &str) -> Self {
        Self { start: text.as_ptr().cast(), length: text.len() }
    }

    /// # Safety
    /// As [`bytes`], for as long as `'a`.
    pub(crate) unsafe fn to_str<'a>(self) -> Outcome<&'a str> {
        // SAFETY: the caller's contract.
        let bytes = unsafe { bytes(self.start.cast(), self.length) }?;
        if bytes.iter().all(|byte| matches!(byte, b' '..=b'~')) {
            // SAFETY: ASCII is UTF-8.
            Ok(unsafe { str::from_utf8_unchecked(bytes) })
        } else {
            Err(Code::TASKSEAL_INVALID_NAME)
        }
    }
}

/// # Safety
/// `start` is NULL or the first of `length` bytes that do not change during `'a`.
pub(crate) unsafe fn bytes<'a>(start: *const u8, length: usize) -> Outcome<&'a [u8]> {
    // SAFETY: the caller's contract.
    unsafe { many(start, length) }
}

/// # Safety
/// `start` is NULL or the first of `length` initialised values that do not change during `'a`.
pub(crate) unsafe fn many<'a, T>(start: *const T, length: usize) -> Outcome<&'a [T]> {
    if length == 0 {
        return Ok(&[]);
    }
    if start.is_null() {
        return Err(Code::TASKSEAL_NULL_POINTER);
    }
    if length > isize::MAX as usize / size_of::<T>().max(1) {
        return Err(Code::TASKSEAL_INVALID_ARGUMENT);
    }
    // SAFETY: not NULL and not too long; the rest is the caller's contract.
    Ok(unsafe { slice::from_raw_parts(start, length) })
}

/// # Safety
/// `start` is NULL or the first of `length` initialised values that are not accessed otherwise during `'a`.
pub(crate) unsafe fn many_mut<'a, T>(start: *mut T, length: usize) -> Outcome<&'a mut [T]> {
    if length == 0 {
        return Ok(&mut []);
    }
    if start.is_null() {
        return Err(Code::TASKSEAL_NULL_POINTER);
    }
    if length > isize::MAX as usize / size_of::<T>().max(1) {
        return Err(Code::TASKSEAL_INVALID_ARGUMENT);
    }
    // SAFETY: not NULL and not too long; the rest is the caller's contract.
    Ok(unsafe { slice::from_raw_parts_mut(start, length) })
}

/// Refuses an output that overlaps an input.
pub(crate) fn apart(to: *const u8, size: usize, from: *const u8, length: usize) -> Outcome<()> {
    let (to, from) = (to.addr(), from.addr());
    let overlap = to < from.saturating_add(length) && from < to.saturating_add(size);
    if overlap { Err(Code::TASKSEAL_INVALID_ARGUMENT) } else { Ok(()) }
}

/// # Safety
/// `pointer` is NULL or points to a `T` that does not change during `'a`.
pub(crate) unsafe fn one<'a, T>(pointer: *const T) -> Outcome<&'a T> {
    // SAFETY: the caller's contract.
    unsafe { pointer.as_ref() }.ok_or(Code::TASKSEAL_NULL_POINTER)
}

/// # Safety
/// `pointer` is NULL or points to a `T` that is not accessed otherwise during `'a`.
pub(crate) unsafe fn one_mut<'a, T>(pointer: *mut T) -> Outcome<&'a mut T> {
    // SAFETY: the caller's contract.
    unsafe { pointer.as_mut() }.ok_or(Code::TASKSEAL_NULL_POINTER)
}

/// Overwrites memory with zeros, which the compiler does not optimise away, for example a body after its use. Also
/// clears the vector registers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn taskseal_wipe(start: *mut u8, length: usize) {
    // SAFETY: the contract of the interface.
    if let Ok(bytes) = unsafe { many_mut(start, length) } {
        bytes.zeroize();
        taskseal_core::stack::clear_registers();
    }
}
