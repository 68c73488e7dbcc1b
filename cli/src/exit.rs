//! How the program ends, for people and for scripts.

use std::fmt;
use std::io;
use std::process::ExitCode;

use millstream_client::{ClientError, Disposition};

/// Exit codes are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Done = 0,
    /// It ran, and what it found is not all well: `check` found an error, `decode` had to leave rows out.
    Findings = 1,
    /// The arguments make no sense. Also clap's code.
    Usage = 2,
    /// No server answered, or the connection was lost for good.
    Unreachable = 3,
    /// The server (or the source) said no.
    Refused = 4,
    /// Input that is damaged, or cannot be read.
    BadInput = 5,
}

impl Exit {
    pub const HELP: &str = "\
Exit codes:
  0  done
  1  `check` found an error; `decode` had to leave rows out
  2  the arguments make no sense
  3  no server answered, or the connection was lost
  4  the server said no
  5  input that is damaged or cannot be read";
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// An error with the code that it ends the program with.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    pub error: anyhow::Error,
}

impl Failure {
    pub fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self { exit, error: error.into() }
    }

    pub fn usage(message: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, anyhow::anyhow!("{message}"))
    }

    pub fn input(message: impl fmt::Display) -> Self {
        Self::new(Exit::BadInput, anyhow::anyhow!("{message}"))
    }

    /// Tells people; gives the code. A reader of our output that went away is no failure.
    pub fn report(self) -> Exit {
        if is_broken_pipe(&self.error) {
            return Exit::Done;
        }
        eprintln!("{} {}", crate::style::error_label(), self.error);
        self.exit
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe))
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let exit = match (&error, error.disposition()) {
            (ClientError::Refused { .. } | ClientError::SchemaBreak { .. }, _) => Exit::Refused,
            (ClientError::Config(_) | ClientError::Token(_), _) => Exit::Usage,
            (ClientError::Unreadable { .. }, _) => Exit::BadInput,
            (_, Disposition::Retry) => Exit::Unreachable,
            (_, Disposition::Halt) => Exit::Refused,
        };
        Self::new(exit, error)
    }
}

/// Writing our output failed.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let told = format!("cannot write the output: {error}");
        Self { exit: Exit::BadInput, error: anyhow::Error::new(error).context(told) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_failure_has_its_code() {
        let check = |error: ClientError, expected: Exit| assert_eq!(Failure::from(error).exit, expected);
        let source = io::ErrorKind::ConnectionRefused.into();
        check(ClientError::Connect { address: "a:1".into(), source }, Exit::Unreachable);
        let refused = |retry| ClientError::Refused { code: "c".into(), message: "m".into(), retry };
        check(refused(false), Exit::Refused);
        check(refused(true), Exit::Refused);
        check(ClientError::Config("c".into()), Exit::Usage);
        check(ClientError::Unreadable { table: "t".into(), reason: "r".into() }, Exit::BadInput);
    }

    #[test]
    fn a_broken_pipe_ends_quietly() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(failure.report(), Exit::Done);
    }
}
