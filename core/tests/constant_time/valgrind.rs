//! Marking memory as secret, and running a case under valgrind.

use std::arch::asm;
use std::process::Command;

/// Requests of memcheck (memcheck.h): the tool's letters in the upper half, the number in the lower.
const MAKE_MEM_UNDEFINED: usize = 0x4d43_0001;
const MAKE_MEM_DEFINED: usize = 0x4d43_0002;
const GET_VBITS: usize = 0x4d43_0008;
/// Request of every tool (valgrind.h).
const RUNNING_ON_VALGRIND: usize = 0x1001;

/// Marks the bytes as secret: valgrind reports jumps and addresses that depend on them.
pub(crate) fn make_secret<T: ?Sized>(value: &mut T) {
    request([MAKE_MEM_UNDEFINED, address(value), size_of_val(value), 0, 0, 0]);
}

/// Marks the bytes as public. Takes a mutable reference: with a shared one the compiler may continue with a copy in a
/// register, which stays secret.
pub(crate) fn make_public<T: ?Sized>(value: &mut T) {
    request([MAKE_MEM_DEFINED, address(value), size_of_val(value), 0, 0, 0]);
}

/// Returns whether any bit of the value depends on a secret. Always true without valgrind.
pub(crate) fn is_secret<T: ?Sized>(value: &mut T) -> bool {
    let mut bits = vec![0_u8; size_of_val(value)];
    let into = address(bits.as_mut_slice());
    let answer = request([GET_VBITS, address(value), into, bits.len(), 0, 0]);
    assert!(answer <= 1, "valgrind has the bits");
    answer == 0 || bits.iter().any(|bits| *bits != 0)
}

fn address<T: ?Sized>(value: &mut T) -> usize {
    std::ptr::from_mut(value).cast::<u8>().expose_provenance()
}

/// Returns 0 without valgrind.
fn request(arguments: [usize; 6]) -> usize {
    let answer: usize;
    // SAFETY: the four rotations by 128 bits in all and the exchange of a register with itself change only flags.
    // Valgrind recognises the sequence, reads the arguments that `rax` points to, which stay valid, and sets `rdx`; the
    // requests above write only to valgrind's own state and, for the bits, to the vector that is passed, whose address
    // was exposed by borrowing it mutably.
    unsafe {
        asm!(
            "rol rdi, 3", "rol rdi, 13", "rol rdi, 61", "rol rdi, 51", "xchg rbx, rbx",
            in("rax") arguments.as_ptr(),
            inout("rdx") 0_usize => answer,
            options(nostack),
        );
    }
    answer
}

/// A jump or an address that depended on a secret.
pub(crate) struct Report {
    pub(crate) text: String,
    /// Innermost first, inlined ones too: file and line.
    frames: Vec<(String, usize)>,
}

impl Report {
    /// Returns file and text of the innermost line that is neither in the standard library nor in `subtle`, which
    /// contain the mechanism of the decision and not its subject.
    pub(crate) fn site(&self) -> Option<(&str, String)> {
        let says_how = |file: &str| file.contains("/library/") || file.contains("/subtle-");
        let (file, line) = self.frames.iter().find(|(file, _)| !says_how(file))?;
        Some((file, text_of(file, *line)))
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        let line = |(file, line): &(String, usize)| format!("  {file}:{line}: {}", text_of(file, *line));
        self.frames.iter().map(line).collect()
    }
}

fn text_of(file: &str, line: usize) -> String {
    let source = std::fs::read_to_string(file).unwrap_or_default();
    source.lines().nth(line - 1).unwrap_or_default().trim().to_owned()
}

/// Under valgrind, runs the work. Otherwise runs the test `case` of this program under valgrind and returns its
/// reports.
pub(crate) fn watch(case: &str, work: impl FnOnce()) -> Option<Vec<Report>> {
    if request([RUNNING_ON_VALGRIND, 0, 0, 0, 0, 0]) > 0 {
        work();
        return None;
    }
    if cfg!(debug_assertions) {
        panic!("a debug build has no meaning here: use --profile constant-time");
    }
    let program = std::env::current_exe().unwrap();
    let output = Command::new("valgrind")
        .args(["--quiet", "--error-limit=no", "--fullpath-after=", "--num-callers=40"])
        .arg(program)
        .args([case, "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .output()
        .expect("valgrind is installed");
    let (said, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{case} failed\n{said}\n{log}");
    Some(parse(&log))
}

/// Lines of valgrind begin with its process id between equal signs. A report has a line of text, the frames, and
/// before it the name of the thread unless the report before was of the same.
fn parse(log: &str) -> Vec<Report> {
    let mut reports: Vec<Report> = Vec::new();
    for line in log.lines().filter_map(|line| line.strip_prefix("==")?.split_once("== ")) {
        let line = line.1;
        let frame = line.trim_start().starts_with("at ") || line.trim_start().starts_with("by ");
        if frame {
            let place =
                line.rsplit_once('(').and_then(|(_, place)| place.strip_suffix(')')?.rsplit_once(':'));
            let place = place.and_then(|(file, line)| Some((file.to_owned(), line.parse().ok()?)));
            // Line 0 means that the compiler has merged lines.
            let place = place.filter(|(_, line)| *line > 0);
            if let Some(report) = reports.last_mut() {
                report.frames.extend(place);
            }
        } else if !line.trim().is_empty() && !line.starts_with("Thread ") {
            reports.push(Report { text: line.to_owned(), frames: Vec::new() });
        }
    }
    reports
}
