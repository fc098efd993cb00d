//! The `load` program.

use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    match sluice_benches_load::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to tell if standard error is gone.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
