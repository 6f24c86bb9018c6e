use core::arch::asm;

// `extern "C"`, so that assembly can call it.
extern "C" fn cleared() {
    super::clear();
}

/// The lower halves of v8 to v15 belong to the caller and are restored.
#[test]
fn registers_are_cleared() {
    let filling = [0xa5_u8; 16];
    let mut stored = [[0xee_u8; 16]; 32];
    // SAFETY: the arrays have the sizes that are read and written; x19 and x20 survive the call; all registers that the
    // function may change and the registers that are filled are clobbers.
    unsafe {
        asm!(
            ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, \
             16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31",
            "ldr q\\n, [x21]",
            ".endr",
            "bl {function}",
            ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, \
             16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31",
            "str q\\n, [x20, #(16 * \\n)]",
            ".endr",
            function = sym cleared,
            in("x20") stored.as_mut_ptr(),
            in("x21") filling.as_ptr(),
            out("v8") _, out("v9") _, out("v10") _, out("v11") _,
            out("v12") _, out("v13") _, out("v14") _, out("v15") _,
            clobber_abi("C"),
        );
    }
    for (number, register) in stored.iter().enumerate() {
        let kept: &[u8] = if (8..16).contains(&number) { &[0xa5; 8] } else { &[] };
        assert_eq!(register.strip_prefix(kept), Some(&[0; 16][kept.len()..]), "v{number}");
    }
}
