//! How the tool ends when it does not succeed.

use std::fmt;
use std::process::ExitCode;

/// Why the tool gave up.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line asks for something that makes no sense: exit status 2.
    Usage(String),
    /// It was tried, and went wrong: exit status 1.
    Failed(String),
    /// Ctrl-C or SIGTERM.
    Interrupted,
}

impl Failure {
    /// What could not be done, and why.
    pub(crate) fn doing(what: impl fmt::Display, why: impl fmt::Display) -> Self {
        Self::Failed(format!("{what}: {why}"))
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Failed(_) => ExitCode::from(1),
            Self::Usage(_) => ExitCode::from(2),
            Self::Interrupted => ExitCode::from(130),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(reason) | Self::Failed(reason) => f.write_str(reason),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}
