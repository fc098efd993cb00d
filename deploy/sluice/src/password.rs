//! `sluice password`: a line for the password file.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use sluice_dataplane_auth::{ScramVerifier, hash_password};

use crate::{cli::PasswordArgs, exit::Failure};

pub(crate) fn run(args: &PasswordArgs) -> Result<(), Failure> {
    if let Some(user) = &args.user
        && (user.is_empty() || user.len() > USER_BYTES_MAX || user.contains(|c: char| c == ':' || c.is_control()))
    {
        return Err(Failure::usage("a user's name has 1 to 256 bytes, without `:` and control characters"));
    }
    let password = read()?;
    let mut salt = [0; 16];
    getrandom::fill(&mut salt)
        .map_err(|error| Failure::failed(format!("the system gives no random numbers: {error}")))?;
    let credential = if args.scram {
        ScramVerifier::of_password(&password, &salt, SCRAM_ITERATIONS).map_err(Failure::failed)?.to_string()
    } else {
        hash_password(password.as_bytes(), &salt).map_err(Failure::failed)?
    };
    let mut out = io::stdout();
    match &args.user {
        Some(user) => writeln!(out, "{user}:{credential}")?,
        None => writeln!(out, "{credential}")?,
    }
    Ok(())
}

/// Twice and unseen from a terminal, otherwise one line.
fn read() -> Result<String, Failure> {
    if !io::stdin().is_terminal() {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line)?;
        return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
    }
    let password = rpassword::prompt_password("password: ")?;
    if rpassword::prompt_password("again: ")? != password {
        return Err(Failure::failed("the two passwords differ: try again"));
    }
    Ok(password)
}

/// What the password file takes.
const USER_BYTES_MAX: usize = 256;
/// What OWASP advises for SCRAM is more than a small device can answer with; RFC 7677 asks for 4,096 at least.
const SCRAM_ITERATIONS: u32 = 16_384;
