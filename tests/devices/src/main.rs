//! The program around the run: with an operating system, or on a Cortex-M4 that is debugged over semihosting.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod bare;

#[cfg(not(target_os = "none"))]
fn main() -> std::process::ExitCode {
    struct Stdout;

    impl std::fmt::Write for Stdout {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            print!("{text}");
            Ok(())
        }
    }

    let report = taskseal_devices::run(&mut Stdout);
    println!("{report}");
    if report.wrong == 0 { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE }
}
