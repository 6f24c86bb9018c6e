//! A thread's place at the token: its session, and what it does when a call fails.

use std::sync::Arc;

use cryptoki::context::Function;
use cryptoki::error::{Error as Cryptoki, RvError};

use crate::error::{Error, Failure, Fault};
use crate::health::add;
use crate::pool::call::Ticket;
use crate::pool::session::Session;
use crate::recovery::classify::{Level, Verdict, classify, session_is_gone};
use crate::recovery::state::{Footing, Shared};

/// A session of one thread, kept from call to call.
#[derive(Debug)]
pub(crate) struct Seat {
    shared: Arc<Shared>,
    session: Option<(Session, Footing)>,
}

/// What an operation gets to work with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bench<'s> {
    pub(crate) session: &'s Session,
    pub(crate) footing: Footing,
    pub(crate) shared: &'s Arc<Shared>,
}

impl Bench<'_> {
    /// Whether private objects can be seen.
    pub(crate) fn check_login(&self) -> Result<(), Cryptoki> {
        if self.footing.login_required { self.session.check_login() } else { Ok(()) }
    }

    /// Whether the session is one, and is logged in.
    pub(crate) fn check_session(&self) -> Result<(), Cryptoki> {
        self.session.get_session_info()?;
        self.check_login()
    }

    /// A session that may change the token. Those of the pool only read.
    pub(crate) fn write_session(&self) -> Result<Session, Cryptoki> {
        self.check_login()?;
        Session::open(&self.shared.module, self.footing.slot, true)
    }
}

/// Whether a call may be made again after a recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It changes nothing in the token, or the same thing twice.
    Yes,
    /// It might have been done although it failed.
    No,
    /// It is made now or not at all: the recovery thread makes it, so that there would be nobody to wait for.
    OnlyNow,
}

/// Whether a call makes or destroys objects, be it for the time of the call. There are libraries that fail when several
/// threads do it at once, so that each waits for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Objects {
    Untouched,
    Made,
}

/// How one attempt went.
enum Attempt<R> {
    Done(R),
    /// This much is broken.
    Broken(Fault, Level),
    /// Nothing was tried: the token was logged in to, or the library restarted, since.
    Moved,
}

impl Seat {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared, session: None }
    }

    /// Does `work` in a session. A lost session is replaced and a lost login is waited for, once each; a lost token
    /// is left to recovery and the caller is told to come back.
    pub(crate) fn run<R>(
        &mut self,
        ticket: &Ticket,
        repeat: Repeat,
        objects: Objects,
        work: impl Fn(&Bench<'_>) -> Result<R, Failure>,
    ) -> Result<R, Error> {
        let mut done = None;
        loop {
            ticket.pause()?;
            let footing = self.shared.footing(ticket, repeat != Repeat::OnlyNow)?;
            let (error, broken) = match self.attempt(ticket, footing, objects, &work)? {
                Attempt::Done(result) => return Ok(result),
                Attempt::Broken(error, level) => (error, level),
                Attempt::Moved => {
                    // Unless this token's own recovery was it, which the generation shows.
                    let moved = Cryptoki::Pkcs11(RvError::UserNotLoggedIn, Function::Login);
                    let reason = Error::Token(Fault::new(&moved));
                    self.shared.request(Level::Login, footing.generation, reason);
                    continue;
                }
            };
            // What did not help is not tried twice.
            let level = match (done, broken) {
                (Some(Level::Session), Level::Session) => Level::Login,
                (Some(Level::Login), Level::Session | Level::Login) => Level::Library,
                (_, level) => level,
            };
            if level > Level::Session {
                self.shared.request(level, footing.generation, Error::Token(error));
            } else {
                add(&self.shared.counters.session_recoveries);
            }
            if level == Level::Library || repeat != Repeat::Yes {
                self.shared.check()?;
                return Err(Error::Transient { retry_after: std::time::Duration::from_millis(10) });
            }
            done = Some(level);
        }
    }

    /// One attempt: a result, or what is broken, or an error that no recovery changes.
    fn attempt<R>(
        &mut self,
        ticket: &Ticket,
        footing: Footing,
        objects: Objects,
        work: impl Fn(&Bench<'_>) -> Result<R, Failure>,
    ) -> Result<Attempt<R>, Error> {
        let shared = Arc::clone(&self.shared);
        // The caller's time passes meanwhile, but nobody takes this thread for stuck.
        let _turn = match objects {
            Objects::Made => Some(shared.module.turn(ticket.deadline(), shared.settings.timeout)?),
            Objects::Untouched => None,
        };
        let _pass = shared.module.enter_by(ticket.deadline())?;
        if !shared.holds(&footing) {
            // A handle of before may be another key now.
            return Ok(Attempt::Moved);
        }
        ticket.run()?;
        let result = self
            .session(footing)
            .map_err(Failure::Library)
            .and_then(|session| work(&Bench { session, footing, shared: &shared }));
        match result {
            Ok(result) => Ok(Attempt::Done(result)),
            Err(Failure::Ours(error)) => {
                if matches!(error, Error::FaultyAnswer) {
                    add(&shared.counters.faulty_answers);
                    shared.request(Level::Login, footing.generation, Error::FaultyAnswer);
                }
                Err(error)
            }
            Err(Failure::Library(error)) => {
                let fault = Fault::new(&error);
                let level = match classify(&error) {
                    Verdict::Permanent => return Err(Error::Token(fault)),
                    Verdict::Probe => match self.probe(footing) {
                        None => return Err(Error::Token(fault)),
                        Some(level) => level,
                    },
                    Verdict::Broken(level) => level,
                };
                if session_is_gone(&error) {
                    self.forget();
                    shared.sessions_gone(footing.sessions);
                } else if level == Level::Session {
                    self.session = None;
                }
                Ok(Attempt::Broken(fault, level))
            }
        }
    }

    /// This thread's session, opened if there is none that can be trusted.
    fn session(&mut self, footing: Footing) -> Result<&Session, Cryptoki> {
        let trusted = |session: &Session, opened: &Footing| {
            !session.is_stale() && opened.sessions == footing.sessions && opened.slot == footing.slot
        };
        self.session.take_if(|(session, opened)| !trusted(session, opened));
        if self.session.is_none() {
            let session = Session::open(&self.shared.module, footing.slot, false)?;
            if footing.login_required {
                session.check_login()?;
            }
            self.session = Some((session, footing));
        }
        let (session, _) = self.session.as_ref().expect("it was opened above");
        Ok(session)
    }

    /// What is broken after an error that can mean anything, a lost login included; `None` if nothing is.
    fn probe(&self, footing: Footing) -> Option<Level> {
        let Some((session, _)) = &self.session else { return Some(Level::Library) };
        if session.get_session_info().is_err() {
            Some(Level::Library)
        } else if footing.login_required && session.check_login().is_err() {
            Some(Level::Login)
        } else {
            None
        }
    }

    /// Closes the session, whatever state it is in.
    pub(crate) fn close(&mut self) {
        self.session = None;
    }

    /// Lets go of a session that is gone.
    fn forget(&mut self) {
        if let Some((session, _)) = self.session.take() {
            session.forget();
        }
    }
}
