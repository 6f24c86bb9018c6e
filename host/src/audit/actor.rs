//! The user, process, program and host that a line names.

use super::line::{LineBuilder, Value};

/// The user and the process that a line is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Actor {
    uid: u32,
    /// Name of the user in `/etc/passwd`.
    user: Option<String>,
    /// The user who logged in, which the kernel keeps through `su` and `sudo`.
    login_uid: Option<u32>,
    /// The user that `sudo` names in the environment.
    sudo_user: Option<String>,
    pid: u32,
    program: String,
    host: String,
}

impl Actor {
    /// Returns the actor of this process.
    pub(super) fn of_this_process(program: &str) -> Self {
        let uid = rustix::process::getuid().as_raw();
        Self {
            uid,
            user: std::fs::read("/etc/passwd").ok().and_then(|file| name_of(uid, &file)),
            login_uid: std::fs::read_to_string("/proc/self/loginuid").ok().and_then(|text| login_uid(&text)),
            sudo_user: std::env::var("SUDO_USER").ok().filter(|name| !name.is_empty()),
            pid: std::process::id(),
            program: program.to_owned(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        }
    }

    /// Adds the members of the actor to a line.
    pub(super) fn write(&self, line: &mut LineBuilder) {
        line.member("uid", &Value::Number(self.uid.into()));
        let texts = [("user", &self.user), ("sudo_user", &self.sudo_user)];
        for (name, text) in texts {
            if let Some(text) = text {
                line.member(name, &text.as_str().into());
            }
        }
        if let Some(uid) = self.login_uid {
            line.member("login_uid", &Value::Number(uid.into()));
        }
        line.member("pid", &Value::Number(self.pid.into()));
        line.member("program", &self.program.as_str().into());
        line.member("host", &self.host.as_str().into());
    }
}

/// Returns the name of a user in the text of `/etc/passwd` (passwd(5)).
fn name_of(uid: u32, passwd: &[u8]) -> Option<String> {
    String::from_utf8_lossy(passwd).lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, id) = (fields.next()?, fields.next()?, fields.next()?);
        (id.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// Reads `/proc/self/loginuid` (proc(5)); the highest number stands for a process that no user has started by logging in.
fn login_uid(text: &str) -> Option<u32> {
    text.trim().parse().ok().filter(|uid| *uid != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_without_a_name_or_a_login_has_none() {
        assert_eq!(name_of(7, b"root:x:0:0::/root:/bin/sh\nbroken\n"), None);
        assert_eq!(login_uid("4294967295"), None);
        assert_eq!(login_uid(""), None);
    }

    #[test]
    fn name_is_that_of_the_user_id() {
        assert_eq!(name_of(7, b"root:x:0:0::/root:/bin/sh\nlp:x:7:7::/:/bin/false\n").as_deref(), Some("lp"));
        assert_eq!(login_uid("1000\n"), Some(1000));
    }
}
