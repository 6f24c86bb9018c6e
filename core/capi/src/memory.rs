//! From pointers to references: the only place where the promises of a C caller are believed.

use core::ffi::c_char;
use core::slice;
use core::str;

use zeroize::Zeroize;

use crate::code::{Code, Outcome};

/// Bytes of a name; need not end in NUL. Not copied: what it points to stays for as long as it is used.
///
/// `TASKSEAL_TEXT("sensor-17")` is one, as an argument or to assign; `TASKSEAL_TEXT_INIT("sensor-17")` initialises one,
/// also where only constants may; `taskseal_text_of(name)` takes a string that ends in NUL.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct taskseal_text {
    /// The first character. NULL only if there is none.
    pub start: *const c_char,
    /// Characters, without a NUL.
    pub length: usize,
}

impl taskseal_text {
    pub(crate) const fn of(text: &str) -> Self {
        Self { start: text.as_ptr().cast(), length: text.len() }
    }

    /// # Safety
    /// As [`bytes`], for as long as `'a`.
    pub(crate) unsafe fn to_str<'a>(self) -> Outcome<&'a str> {
        // SAFETY: handed on to the caller.
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
/// `start` is NULL or the first of `length` bytes that nobody changes during `'a`.
pub(crate) unsafe fn bytes<'a>(start: *const u8, length: usize) -> Outcome<&'a [u8]> {
    // SAFETY: handed on to the caller.
    unsafe { many(start, length) }
}

/// # Safety
/// `start` is NULL or the first of `length` initialised values that nobody changes during `'a`.
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
    // SAFETY: not NULL, not too long, and the rest is the caller's promise.
    Ok(unsafe { slice::from_raw_parts(start, length) })
}

/// # Safety
/// `start` is NULL or the first of `length` initialised values that nobody else touches during `'a`.
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
    // SAFETY: not NULL, not too long, and the rest is the caller's promise.
    Ok(unsafe { slice::from_raw_parts_mut(start, length) })
}

/// Refuses an output that overlaps an input.
pub(crate) fn apart(to: *const u8, size: usize, from: *const u8, length: usize) -> Outcome<()> {
    let (to, from) = (to.addr(), from.addr());
    let overlap = to < from.saturating_add(length) && from < to.saturating_add(size);
    if overlap { Err(Code::TASKSEAL_INVALID_ARGUMENT) } else { Ok(()) }
}

/// # Safety
/// `pointer` is NULL or points to a `T` that nobody changes during `'a`.
pub(crate) unsafe fn one<'a, T>(pointer: *const T) -> Outcome<&'a T> {
    // SAFETY: the caller's promise.
    unsafe { pointer.as_ref() }.ok_or(Code::TASKSEAL_NULL_POINTER)
}

/// # Safety
/// `pointer` is NULL or points to a `T` that nobody else touches during `'a`.
pub(crate) unsafe fn one_mut<'a, T>(pointer: *mut T) -> Outcome<&'a mut T> {
    // SAFETY: the caller's promise.
    unsafe { pointer.as_mut() }.ok_or(Code::TASKSEAL_NULL_POINTER)
}

/// Overwrites memory with zeros in a way that no compiler leaves out: for a body that has been used. Clears the vector
/// registers too.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn taskseal_wipe(start: *mut u8, length: usize) {
    // SAFETY: the contract of the interface.
    if let Ok(bytes) = unsafe { many_mut(start, length) } {
        bytes.zeroize();
        taskseal_core::stack::clear_registers();
    }
}
