//! `sluice healthcheck`: for containers, which have no curl, and for scripts.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::{cli::HealthArgs, exit::Failure};

pub(crate) fn run(args: &HealthArgs) -> Result<(), Failure> {
    let path = if args.ready { "/ready" } else { "/health" };
    let answer = get(args.admin, path).map_err(|error| {
        let hint = "is the node running, and is this its admin.bind? Name another with --admin";
        Failure::failed(format!("{} does not answer: {error}\n  -> {hint}", args.admin))
    })?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    if head.split(' ').nth(1) == Some("200") {
        return Ok(());
    }
    Err(Failure::failed(format!("{} says {}\n{body}", args.admin, head.lines().next().unwrap_or_default())))
}

fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    Ok(answer)
}

/// Probes of orchestrators usually wait this long themselves.
const PATIENCE: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: u64 = 64 * 1024;
