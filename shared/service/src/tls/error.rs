//! Why TLS could not be set up.

use std::path::PathBuf;

/// A file of a listener's TLS that cannot be used, and why.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// There is no certificate to show.
    #[error("a TLS listener needs at least one certificate")]
    NoCertificate,
    /// A file cannot be read, or is not PEM.
    #[error("{}: {what}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A private key that everybody on the machine can read.
    #[error("{}: a private key that everybody can read (mode {mode:04o}): run chmod 0600 on it", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The library refuses what the files say.
    #[error(transparent)]
    Refused(#[from] rustls::Error),
}

impl TlsError {
    pub(super) fn file(path: &std::path::Path, what: impl ToString) -> Self {
        Self::File { path: path.to_owned(), what: what.to_string() }
    }
}
