//! A certificate for the brokers of a comparison, made anew each time.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};

/// The certificate's file, which is its own authority.
pub(super) const CERTIFICATE: &str = "server.crt";
/// The private key's file.
pub(super) const KEY: &str = "server.key";

/// Writes certificate and key for 127.0.0.1 into `dir`.
pub(super) fn write(dir: &Path) -> Result<()> {
    let signed = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "localhost".to_owned()])
        .context("cannot make a certificate")?;
    fs::write(dir.join(CERTIFICATE), signed.cert.pem()).context("cannot write the certificate")?;
    let mut key = fs::OpenOptions::new();
    // Brokers rightly refuse a key that everybody can read.
    let mut file = key.write(true).create_new(true).mode(0o600).open(dir.join(KEY)).context("cannot create the key")?;
    file.write_all(signed.signing_key.serialize_pem().as_bytes()).context("cannot write the key")
}
