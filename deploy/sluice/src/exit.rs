//! How the process ends: with which code and which words.

use std::{
    fmt::Display,
    io::{self, ErrorKind, Write as _},
    process::ExitCode,
};

use sluice_service::{config::ConfigError, tls::TlsError};

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The code of the process.
    code: u8,
    /// What went wrong, why, and what to do, for a person.
    message: String,
}

impl Failure {
    /// It failed.
    pub(crate) fn failed(message: impl Display) -> Self {
        Self { code: FAILED, message: message.to_string() }
    }

    /// The command line is wrong.
    pub(crate) fn usage(message: impl Display) -> Self {
        Self { code: USAGE, message: message.to_string() }
    }

    /// A node did not start. The cause decides the code: what the files say, what the system forbids, or something else.
    pub(crate) fn of_start(error: &anyhow::Error) -> Self {
        let message = format!("{error:#}");
        let configured = error.chain().any(|cause| {
            cause.is::<TlsError>() || cause.is::<sluice_dataplane_auth::SourceError>() || cause.is::<ConfigError>()
        });
        let kind = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
        match kind {
            _ if configured => Self { code: CONFIG, message },
            Some(ErrorKind::PermissionDenied) => {
                let hint = "ports below 1024 and the data directory may belong to root: use others, or the service";
                Self { code: DENIED, message: format!("{message}\n  -> {hint}") }
            }
            Some(ErrorKind::AddrInUse) => {
                let hint = "another process listens there: end it, or listen elsewhere with --mqtt, --ws or --admin of \
                            sluice dev, or bind in the file of a node (port 0 takes any free port)";
                Self { code: FAILED, message: format!("{message}\n  -> {hint}") }
            }
            _ => Self { code: FAILED, message },
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self { code: CONFIG, message: error.to_string() }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        // Whoever read the output has seen enough, as `head` does.
        let code = if error.kind() == ErrorKind::BrokenPipe { SILENT } else { FAILED };
        Self { code, message: error.to_string() }
    }
}

/// The code for the result of a command; says on standard error what went wrong.
pub(crate) fn code(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) | Err(Failure { code: SILENT, .. }) => ExitCode::SUCCESS,
        Err(Failure { code, message }) => {
            // Nothing is left to tell when even this fails.
            let _ = writeln!(io::stderr(), "error: {message}");
            ExitCode::from(code)
        }
    }
}

const SILENT: u8 = 0;
const FAILED: u8 = 1;
/// The codes of sysexits.h that scripts and systemd know.
const USAGE: u8 = 64;
const DENIED: u8 = 77;
const CONFIG: u8 = 78;
