//! The processes below this one, found in /proc, and their end.
//!
//! This process is their subreaper: a process whose parent has ended becomes a child of this one, also one that has left its
//! session.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, test_kill_process, wait};

/// How long to go on while no process ends, before the rest is left behind. The worker waits for longer.
const LIMIT: Duration = Duration::from_secs(4);
/// Delays between rounds: the first after a process has ended, and the longest.
const DELAYS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(100));

/// What a look at the children of this process has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reaped {
    /// No child has ended.
    None,
    /// Some have ended.
    Some,
    /// There are no more.
    All,
}

/// Kills all descendants and waits until none is left. Returns false if some cannot be ended: this user may not kill processes of
/// another one, which a program can start with `sudo`.
pub(super) fn kill_all() -> bool {
    repeat(|| drop(kill_below(getpid())), reap, LIMIT)
}

/// Repeats `kill` until nothing is left to `reap`. A process that is started meanwhile is found in the next round. Returns false if
/// nothing has ended for `limit`.
fn repeat(mut kill: impl FnMut(), mut reap: impl FnMut() -> Reaped, limit: Duration) -> bool {
    let (mut delay, mut latest_end) = (DELAYS.0, Instant::now());
    loop {
        kill();
        match reap() {
            Reaped::All => return true,
            Reaped::Some => (delay, latest_end) = (DELAYS.0, Instant::now()),
            Reaped::None if latest_end.elapsed() >= limit => return false,
            Reaped::None => {}
        }
        thread::sleep(delay);
        delay = (2 * delay).min(DELAYS.1);
    }
}

/// Sends SIGKILL to all descendants of a process, and returns them.
pub(crate) fn kill_below(root: Pid) -> Vec<Pid> {
    let found = below(root);
    for pid in &found {
        let _ = kill_process(*pid, Signal::KILL);
    }
    found
}

/// Returns whether a process exists that has not ended. One that has ended exists until its parent waits for it.
pub(crate) fn is_running(pid: Pid) -> bool {
    match stat(Path::new(&format!("/proc/{}", pid.as_raw_nonzero()))) {
        Some(stat) => !stat.starts_with(['Z', 'X']),
        // The processes of other users may be hidden.
        None => test_kill_process(pid) == Err(Errno::PERM),
    }
}

/// Returns what the kernel says of a process after the name of its program: state, parent and more, separated by spaces.
fn stat(process: &Path) -> Option<String> {
    let stat = fs::read(process.join("stat")).ok()?;
    // The name, in brackets, may contain anything; the kernel cuts it within a character.
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = stat.get(end + 1..)?.trim_ascii();
    Some(String::from_utf8_lossy(rest).into_owned())
}

fn reap() -> Reaped {
    let mut reaped = Reaped::None;
    loop {
        match wait(WaitOptions::NOHANG) {
            // Another thread may have waited for the last one.
            Err(Errno::CHILD) => return Reaped::All,
            Ok(Some(_)) => reaped = Reaped::Some,
            Err(Errno::INTR) => {}
            Ok(None) | Err(_) => return reaped,
        }
    }
}

/// Returns whether a descendant has the standard output or the standard error of this process open.
pub(super) fn hold_output() -> bool {
    let outputs: Vec<PathBuf> =
        ["/proc/self/fd/1", "/proc/self/fd/2"].iter().filter_map(|fd| fs::read_link(fd).ok()).collect();
    below(getpid()).into_iter().any(|pid| {
        let descriptors = paths_in(&format!("/proc/{}/fd", pid.as_raw_nonzero()));
        descriptors.iter().any(|path| fs::read_link(path).is_ok_and(|target| outputs.contains(&target)))
    })
}

/// Returns all descendants of a process that were not waited for.
fn below(root: Pid) -> Vec<Pid> {
    // Only kernels with CONFIG_PROC_CHILDREN list the children of a process.
    if Path::new("/proc/thread-self/children").exists() {
        closure(root, children)
    } else {
        let parents = parents();
        closure(root, |of| {
            parents.iter().filter(|(_, parent)| *parent == Some(of)).map(|(pid, _)| *pid).collect()
        })
    }
}

fn closure(root: Pid, children: impl Fn(Pid) -> Vec<Pid>) -> Vec<Pid> {
    let mut found = children(root);
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        // A process whose id was used again since may look like its own ancestor.
        let new: Vec<Pid> = children(pid).into_iter().filter(|child| !found.contains(child)).collect();
        found.extend(new);
        next += 1;
    }
    found
}

/// Returns the children that the kernel lists.
fn children(of: Pid) -> Vec<Pid> {
    let mut children = Vec::new();
    for thread in paths_in(&format!("/proc/{}/task", of.as_raw_nonzero())) {
        let list = fs::read_to_string(thread.join("children")).unwrap_or_default();
        children.extend(list.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)));
    }
    children
}

/// Returns every process of the host with its parent.
fn parents() -> Vec<(Pid, Option<Pid>)> {
    let process = |path: &PathBuf| {
        let pid = path.file_name()?.to_str()?.parse().ok()?;
        let parent = stat(path)?.split(' ').nth(1)?.parse().ok()?;
        Some((Pid::from_raw(pid)?, Pid::from_raw(parent)))
    };
    paths_in("/proc").iter().filter_map(process).collect()
}

/// Returns the paths in a folder, as far as it can be read.
fn paths_in(folder: &str) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    if let Ok(entries) = fs::read_dir(folder) {
        for entry in entries {
            paths.extend(entry.map(|entry| entry.path()));
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use rustix::process::{WaitId, WaitIdOptions, waitid};

    use super::*;

    #[test]
    fn killing_ends_when_nothing_ends_for_the_limit() {
        let mut kills = 0;
        assert!(!repeat(|| kills += 1, || Reaped::None, Duration::ZERO));
        assert_eq!(kills, 1);
    }

    #[test]
    fn killing_goes_on_while_processes_end() {
        let mut rounds = [Reaped::Some, Reaped::Some, Reaped::All].into_iter();
        assert!(repeat(|| (), || rounds.next().unwrap(), Duration::ZERO));
        assert_eq!(rounds.next(), None);
    }

    #[test]
    fn process_that_has_ended_does_not_run_before_and_after_its_parent_waits_for_it() {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        assert!(is_running(pid));

        child.kill().unwrap();

        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
        assert!(!is_running(pid));
        child.wait().unwrap();
        assert!(!is_running(pid));
    }

    #[test]
    fn process_whose_name_the_kernel_cuts_within_a_character_is_found() {
        let folder = tempfile::TempDir::new().unwrap();
        let program = folder.path().join("fourteen-bytesü");
        std::os::unix::fs::symlink("/bin/sleep", &program).unwrap();
        let mut child = Command::new(program).arg("600").spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();

        let (runs, parents) = (is_running(pid), parents());

        child.kill().unwrap();
        child.wait().unwrap();
        assert!(runs);
        assert!(parents.contains(&(pid, Some(getpid()))), "{parents:?}");
    }

    #[test]
    fn descendants_are_found_with_and_without_lists_of_children() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "sleep 600 & echo $!; wait"]).stdout(Stdio::piped());
        let mut shell = shell.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let pid = |number: &str| Pid::from_raw(number.trim().parse().unwrap()).unwrap();
        let expected = [pid(&shell.id().to_string()), pid(&line)];

        let listed = closure(getpid(), children);
        let parents = parents();
        let of =
            |pid| parents.iter().filter(|(_, parent)| *parent == Some(pid)).map(|(pid, _)| *pid).collect();
        let searched = closure(getpid(), of);

        kill_below(expected[0]);
        shell.kill().unwrap();
        shell.wait().unwrap();
        assert!(expected.iter().all(|pid| listed.contains(pid)), "{listed:?}");
        assert!(expected.iter().all(|pid| searched.contains(pid)), "{searched:?}");
    }
}
