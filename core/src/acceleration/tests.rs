use super::*;

/// The standard library has its own detection; both must report the same features.
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[test]
fn report_agrees_with_the_standard_library() {
    use std::arch::is_x86_feature_detected;

    let found = Acceleration::detect();
    if cfg!(not(any(aes_backend = "soft", polyval_backend = "soft", sha2_backend = "soft"))) {
        assert_eq!(!found.aes.is_portable(), is_x86_feature_detected!("aes"));
        let carryless = is_x86_feature_detected!("avx") && is_x86_feature_detected!("pclmulqdq");
        assert_eq!(!found.ghash.is_portable(), carryless);
        let wide = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("vaes");
        assert_eq!(found.aes == Instructions::Vaes512, wide);
        let sha = is_x86_feature_detected!("sha") && is_x86_feature_detected!("sse4.1");
        assert_eq!(!found.sha256.is_portable(), sha);
    }
}

#[cfg(all(target_arch = "aarch64", target_os = "linux", not(miri)))]
#[test]
fn report_agrees_with_the_standard_library() {
    use std::arch::is_aarch64_feature_detected;

    let found = Acceleration::detect();
    assert_eq!(!found.aes.is_portable(), is_aarch64_feature_detected!("aes"));
    assert_eq!(!found.ghash.is_portable(), is_aarch64_feature_detected!("pmull"));
    assert_eq!(!found.sha256.is_portable(), is_aarch64_feature_detected!("sha2"));
}

#[cfg(not(any(target_arch = "aarch64", target_arch = "x86", target_arch = "x86_64")))]
#[test]
fn processors_without_detection_are_portable() {
    let found = Acceleration::detect();
    assert!(found.aes.is_portable() && found.ghash.is_portable());
}

#[test]
fn repeated_detection_gives_the_same_result() {
    assert_eq!(Acceleration::detect(), Acceleration::detect());
}
