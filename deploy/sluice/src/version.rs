//! `sluice version`.

use std::io::{self, Write as _};

use serde_json::json;
use sluice_dataplane_server::admin::Build;

use crate::exit::Failure;

pub(crate) fn run(json: bool) -> Result<(), Failure> {
    let Build { version, revision } = Build::THIS;
    let mut out = io::stdout();
    if json {
        writeln!(out, "{}", json!({ "version": version, "revision": revision }))?;
    } else {
        writeln!(out, "sluice {version} ({revision})")?;
    }
    Ok(())
}
