//! A client's side of a transport.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    sync::Arc,
    time::Duration,
};

use rustls::{ClientConfig, ClientConnection, StreamOwned, pki_types::ServerName};

use crate::websocket::WebSocket;

/// How long a test waits for what must come. Generous: a loaded machine is no failure of the server.
pub const DEADLINE: Duration = Duration::from_secs(15);

/// A connected transport.
#[derive(Debug)]
pub enum Stream {
    /// Plain TCP.
    Tcp(TcpStream),
    /// A Unix domain socket.
    Unix(UnixStream),
    /// TLS over TCP.
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    /// WebSocket over any of these.
    WebSocket(Box<WebSocket>),
}

impl Stream {
    /// Connects by TCP.
    #[must_use]
    pub fn tcp(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, DEADLINE).expect("a listening server");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        let stream = Self::Tcp(stream);
        stream.set_timeout(DEADLINE);
        stream
    }

    /// Connects to a Unix domain socket.
    #[must_use]
    pub fn unix(path: &Path) -> Self {
        let stream = Self::Unix(UnixStream::connect(path).expect("a listening server"));
        stream.set_timeout(DEADLINE);
        stream
    }

    /// Connects by TCP and TLS, and completes the handshake.
    ///
    /// # Errors
    /// What the handshake failed with: an alert of the server, or its closing.
    pub fn tls(address: SocketAddr, config: Arc<ClientConfig>, server_name: &str) -> io::Result<Self> {
        let mut tcp = TcpStream::connect_timeout(&address, DEADLINE)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(DEADLINE))?;
        tcp.set_write_timeout(Some(DEADLINE))?;
        let name = ServerName::try_from(server_name.to_owned()).expect("a server name");
        let mut tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp)?;
        }
        Ok(Self::Tls(Box::new(StreamOwned::new(tls, tcp))))
    }

    /// Bounds each read and write.
    pub fn set_timeout(&self, timeout: Duration) {
        let most = Some(timeout);
        match self {
            Self::Tcp(tcp) => tcp.set_read_timeout(most).and(tcp.set_write_timeout(most)),
            Self::Unix(unix) => unix.set_read_timeout(most).and(unix.set_write_timeout(most)),
            Self::Tls(tls) => tls.sock.set_read_timeout(most).and(tls.sock.set_write_timeout(most)),
            Self::WebSocket(websocket) => {
                websocket.stream().set_timeout(timeout);
                Ok(())
            }
        }
        .expect("a timeout");
    }

    /// Closes the sending half, so that the server reads the end.
    pub fn shutdown_write(&self) {
        match self {
            Self::Tcp(tcp) => drop(tcp.shutdown(Shutdown::Write)),
            Self::Unix(unix) => drop(unix.shutdown(Shutdown::Write)),
            Self::Tls(tls) => drop(tls.sock.shutdown(Shutdown::Write)),
            Self::WebSocket(websocket) => websocket.stream().shutdown_write(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(tcp) => tcp.read(buffer),
            Self::Unix(unix) => unix.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
            Self::WebSocket(websocket) => websocket.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(tcp) => tcp.write(bytes),
            Self::Unix(unix) => unix.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
            Self::WebSocket(websocket) => websocket.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(tcp) => tcp.flush(),
            Self::Unix(unix) => unix.flush(),
            Self::Tls(tls) => tls.flush(),
            Self::WebSocket(websocket) => websocket.flush(),
        }
    }
}
