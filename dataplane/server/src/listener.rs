//! Listening sockets and what stands before them: how often a source may connect, how many connections there may be.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    net::{self, SocketAddr},
    os::unix::net as unix,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use mio::{
    Interest, Registry, Token,
    event::Source,
    net::{TcpListener, UnixListener},
};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{
    connect_rate::{ConnectRate, Pace},
    stats::Shed,
    transport::Wire,
};

/// A listening socket of one thread.
pub(crate) struct Acceptor {
    /// Index of the listener in the configuration.
    pub(crate) listener: u16,
    /// Do not accept before: the machine is short of something other than descriptors.
    pub(crate) rests_until_ms: Option<u64>,
    seats: Arc<Seats>,
    socket: Listening,
}

enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// What asking for a connection gave.
pub(crate) enum Accepted {
    /// A connection.
    Connection(Wire, Option<SocketAddr>, Seat),
    /// A connection that was closed at once.
    Shed(Shed, Option<SocketAddr>),
    /// There is none for now.
    None,
    /// Ask again at [`Acceptor::rests_until_ms`].
    Rest,
}

impl Acceptor {
    /// Accepts on a TCP listener.
    pub(crate) fn tcp(listener: u16, seats: Arc<Seats>, socket: net::TcpListener) -> Self {
        Self { listener, rests_until_ms: None, seats, socket: Listening::Tcp(TcpListener::from_std(socket)) }
    }

    /// Accepts on a Unix listener.
    pub(crate) fn unix(listener: u16, seats: Arc<Seats>, socket: unix::UnixListener) -> Self {
        Self { listener, rests_until_ms: None, seats, socket: Listening::Unix(UnixListener::from_std(socket)) }
    }

    /// Asks for readiness events.
    ///
    /// # Errors
    /// The kernel refused.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let source: &mut dyn Source = match &mut self.socket {
            Listening::Tcp(socket) => socket,
            Listening::Unix(socket) => socket,
        };
        registry.register(source, token, Interest::READABLE)
    }

    /// Takes one connection from the queue. Readiness is edge-triggered: ask until there is none.
    pub(crate) fn accept(&mut self, admission: &mut Admission, now_ms: u64) -> Accepted {
        self.rests_until_ms = admission.pace.as_mut().and_then(|pace| pace.wait_until(now_ms));
        if self.rests_until_ms.is_some() {
            return Accepted::Rest;
        }
        loop {
            match self.accept_once() {
                Ok((wire, peer)) => {
                    admission.take();
                    return match admission.admit(now_ms, peer, &self.seats) {
                        Ok(seat) => Accepted::Connection(wire, peer, seat),
                        Err(shed) => Accepted::Shed(shed, peer),
                    };
                }
                Err(error) => match (error.kind(), error.raw_os_error()) {
                    (ErrorKind::WouldBlock, _) => return Accepted::None,
                    (ErrorKind::Interrupted | ErrorKind::ConnectionAborted, _) => {}
                    (_, Some(EMFILE | ENFILE)) if admission.spare.take().is_some() => {
                        let shed = self.accept_once();
                        let peer = shed.as_ref().ok().and_then(|(_, peer)| *peer);
                        drop(shed);
                        admission.spare = spare();
                        return Accepted::Shed(Shed::Descriptors, peer);
                    }
                    _ => {
                        admission.spare = admission.spare.take().or_else(spare);
                        self.rests_until_ms = Some(now_ms + REST_MS);
                        return Accepted::Rest;
                    }
                },
            }
        }
    }

    fn accept_once(&mut self) -> io::Result<(Wire, Option<SocketAddr>)> {
        match &self.socket {
            Listening::Tcp(socket) => {
                let (stream, peer) = socket.accept()?;
                Ok((Wire::Tcp(stream), Some(canonical(peer))))
            }
            Listening::Unix(socket) => Ok((Wire::Unix(socket.accept()?.0), None)),
        }
    }
}

/// An IPv4 client of a dual-stack listener has its IPv4 address.
fn canonical(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(peer.ip().to_canonical(), peer.port())
}

/// Who is let in. One for each accepting thread.
pub(crate) struct Admission {
    rate: Option<ConnectRate>,
    pace: Option<Pace>,
    /// A descriptor to give up for a moment when there are none left, so that a waiting client can be told no instead
    /// of the listener reporting it for ever.
    spare: Option<File>,
}

/// How many connections a listener has and may have, and the whole node behind it.
pub(crate) struct Seats {
    taken: AtomicUsize,
    max: usize,
    of_node: Option<Arc<Seats>>,
}

/// One connection's place among those allowed; free again when it is dropped.
pub(crate) struct Seat(Arc<Seats>);

impl Seats {
    /// At most `max` connections; 0 = no bound. Each takes a seat of `of_node` too.
    pub(crate) fn new(max: usize, of_node: Option<Arc<Self>>) -> Arc<Self> {
        Arc::new(Self { taken: AtomicUsize::new(0), max: if max == 0 { usize::MAX } else { max }, of_node })
    }

    /// Connections there are.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Takes a place, if there is one.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Seat> {
        self.occupy().then(|| Seat(Arc::clone(self)))
    }

    fn occupy(&self) -> bool {
        let free = self.taken.fetch_add(1, Ordering::Relaxed) < self.max;
        let occupied = free && self.of_node.as_ref().is_none_or(|node| node.occupy());
        if !occupied {
            self.taken.fetch_sub(1, Ordering::Relaxed);
        }
        occupied
    }

    fn vacate(&self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
        if let Some(node) = &self.of_node {
            node.vacate();
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.vacate();
    }
}

impl Admission {
    /// What admits connections with this thread's share of the node's rates.
    pub(crate) fn new(rate: Option<ConnectRate>, pace: Option<Pace>) -> Self {
        Self { rate, pace, spare: spare() }
    }

    /// Counts a connection that was there to be accepted.
    fn take(&mut self) {
        if let Some(pace) = &mut self.pace {
            pace.take();
        }
    }

    fn admit(&mut self, now_ms: u64, peer: Option<SocketAddr>, seats: &Arc<Seats>) -> Result<Seat, Shed> {
        if let (Some(rate), Some(peer)) = (&mut self.rate, peer)
            && !rate.admit(now_ms, peer.ip())
        {
            return Err(Shed::ConnectRate);
        }
        seats.take().ok_or(Shed::ConnectionsMax)
    }
}

fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}

/// Binds `address` as often as there are threads to accept; port 0 takes any free port, the same for all.
///
/// # Errors
/// The address is taken (also by another process of the same user) or cannot be had.
pub(crate) fn bind_tcp(address: SocketAddr, copies: usize) -> io::Result<(SocketAddr, Vec<net::TcpListener>)> {
    // SO_REUSEPORT lets another process of the same user share the port unnoticed; a socket without it does not.
    let probe = tcp_socket(address, false)?;
    let bound = probe.local_addr()?.as_socket().unwrap_or(address);
    drop(probe);
    let listen = |_| {
        let socket = tcp_socket(bound, true)?;
        // Accepted sockets inherit it, which saves a system call for each.
        socket.set_tcp_nodelay(true)?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    Ok((bound, (0..copies).map(listen).collect::<io::Result<_>>()?))
}

fn tcp_socket(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Binds a Unix socket. A file that a process left behind is replaced, one that somebody listens on is not.
///
/// # Errors
/// The path is taken or cannot be had.
pub(crate) fn bind_unix(path: &Path) -> io::Result<unix::UnixListener> {
    let socket = match unix::UnixListener::bind(path) {
        Err(error) if error.kind() == ErrorKind::AddrInUse && is_left_behind(path) => {
            fs::remove_file(path)?;
            unix::UnixListener::bind(path)?
        }
        bound => bound?,
    };
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn is_left_behind(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket())
        && unix::UnixStream::connect(path).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

/// The kernel cuts it to net.core.somaxconn.
const BACKLOG: i32 = 4096;
/// How long a listener rests when the machine is short of memory.
const REST_MS: u64 = 100;
/// The process has no descriptors left.
const EMFILE: i32 = 24;
/// The machine has none left.
const ENFILE: i32 = 23;

#[cfg(test)]
mod tests {
    use std::{net::TcpStream, thread, time::Duration};

    use super::*;

    fn accept(acceptor: &mut Acceptor, admission: &mut Admission) -> Accepted {
        for _ in 0..500 {
            let accepted = acceptor.accept(admission, 0);
            if !matches!(accepted, Accepted::None) {
                return accepted;
            }
            thread::sleep(Duration::from_millis(1));
        }
        Accepted::None
    }

    #[test]
    fn all_copies_share_one_port_and_a_second_process_does_not_get_it() {
        let (address, copies) = bind_tcp("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        assert_ne!(address.port(), 0);
        assert!(copies.iter().all(|copy| copy.local_addr().unwrap() == address));
        assert_eq!(bind_tcp(address, 1).unwrap_err().kind(), ErrorKind::AddrInUse);
    }

    #[test]
    fn a_dual_stack_listener_names_ipv4_clients_by_their_ipv4_address() {
        let Ok((address, mut copies)) = bind_tcp("[::]:0".parse().unwrap(), 1) else {
            return; // A machine without IPv6.
        };
        let _client = TcpStream::connect(("127.0.0.1", address.port())).unwrap();
        let mut acceptor = Acceptor::tcp(0, Seats::new(0, None), copies.remove(0));
        let mut admission = Admission::new(None, None);
        let Accepted::Connection(_, Some(peer), _) = accept(&mut acceptor, &mut admission) else {
            panic!("no connection")
        };
        assert_eq!(peer.ip().to_string(), "127.0.0.1");
    }

    #[test]
    fn connections_beyond_the_maximum_are_shed_until_one_ends() {
        let (address, mut copies) = bind_tcp("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let node = Seats::new(1, None);
        let mut acceptor = Acceptor::tcp(0, Seats::new(0, Some(Arc::clone(&node))), copies.remove(0));
        let mut admission = Admission::new(None, None);
        let _clients: Vec<_> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
        let first = accept(&mut acceptor, &mut admission);
        assert!(matches!(first, Accepted::Connection(..)));
        assert!(matches!(accept(&mut acceptor, &mut admission), Accepted::Shed(Shed::ConnectionsMax, Some(_))));
        assert_eq!(node.taken(), 1);
        drop(first);
        assert_eq!(node.taken(), 0);
        assert!(matches!(accept(&mut acceptor, &mut admission), Accepted::Connection(..)));
    }

    #[test]
    fn asking_when_nobody_waits_does_not_slow_down_who_comes_next() {
        let (address, mut copies) = bind_tcp("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let mut acceptor = Acceptor::tcp(0, Seats::new(0, None), copies.remove(0));
        // One connection at once; the clock stands still.
        let mut admission = Admission::new(None, Pace::new(1));
        for _ in 0..10 {
            assert!(matches!(acceptor.accept(&mut admission, 0), Accepted::None));
        }
        let _clients: Vec<_> = (0..2).map(|_| TcpStream::connect(address).unwrap()).collect();
        assert!(matches!(accept(&mut acceptor, &mut admission), Accepted::Connection(..)));
        assert!(matches!(accept(&mut acceptor, &mut admission), Accepted::Rest));
    }

    #[test]
    fn accepted_sockets_send_at_once() {
        let (address, mut copies) = bind_tcp("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let mut acceptor = Acceptor::tcp(0, Seats::new(0, None), copies.remove(0));
        let mut admission = Admission::new(None, None);
        let _client = TcpStream::connect(address).unwrap();
        let Accepted::Connection(Wire::Tcp(socket), ..) = accept(&mut acceptor, &mut admission) else {
            panic!("none came")
        };
        assert!(socket.nodelay().unwrap());
    }

    #[test]
    fn a_socket_file_left_behind_is_replaced_and_one_in_use_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mqtt.sock");
        let first = bind_unix(&path).unwrap();
        assert_eq!(bind_unix(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(first);
        bind_unix(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "somebody's file").unwrap();
        assert_eq!(bind_unix(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
    }
}
