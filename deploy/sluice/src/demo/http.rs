//! Requests to the processes of the demo, on this machine and without encryption.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// An answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

/// Asks for a page.
///
/// # Errors
/// Nobody answers in time, or not with HTTP.
pub(super) async fn get(address: SocketAddr, path: &str) -> io::Result<Answer> {
    request(address, &format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")).await
}

/// Posts nothing but a token.
///
/// # Errors
/// As for [`get`].
pub(super) async fn post(address: SocketAddr, path: &str, token: &str) -> io::Result<Answer> {
    let text = format!(
        "POST {path} HTTP/1.0\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\n\r\n"
    );
    request(address, &text).await
}

/// To a client of version 1.0 a server answers in one piece and closes the connection.
async fn request(address: SocketAddr, text: &str) -> io::Result<Answer> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(text.as_bytes()).await?;
        let mut answer = String::new();
        stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer).await?;
        Ok(answer)
    };
    let answer = timeout(PATIENCE, exchange).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut)).flatten()?;
    understood(&answer).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP"))
}

fn understood(answer: &str) -> Option<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, body: body.to_owned() })
}

const PATIENCE: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_and_body_are_read_and_what_is_no_http_is_not() {
        let answer = understood("HTTP/1.0 201 Created\r\ncontent-length: 2\r\n\r\n{}").unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (201, "{}"));
        for other in ["", "HTTP/1.1 200 OK\r\n", "SSH-2.0\r\n\r\n", "HTTP/1.1 good\r\n\r\n"] {
            assert_eq!(understood(other), None, "{other:?}");
        }
    }
}
