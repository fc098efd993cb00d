//! The way from the nodes to control: a TCP port in front of control for each node, which is as far away as the weather
//! says, and from which nothing comes while there is a cut.
//!
//! As on a network that is cut, connections stay and are silent: whoever waits has to notice. What was written before
//! arrives when the cut is healed.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc::{Receiver, Sender, channel},
    task::JoinSet,
    time::{sleep, sleep_until},
};

use super::weather::{Place, Weather};

/// The ports in front of control; dropped, all connections end.
#[derive(Debug)]
pub(super) struct Tunnels {
    _tasks: JoinSet<()>,
}

/// The port of one node.
#[derive(Debug)]
pub(super) struct Entrance {
    pub(super) listener: TcpListener,
    /// Who comes in there.
    pub(super) node: Place,
}

impl Tunnels {
    /// Takes connections at each entrance and carries them to `control`.
    pub(super) fn start(entrances: Vec<Entrance>, control: (SocketAddr, Place), weather: &Arc<Mutex<Weather>>) -> Self {
        let mut tasks = JoinSet::new();
        for Entrance { listener, node } in entrances {
            let way = Way { from: node, to: control.1, weather: Arc::clone(weather) };
            tasks.spawn(attend(listener, control.0, way));
        }
        Self { _tasks: tasks }
    }
}

/// One direction between two places.
#[derive(Clone, Debug)]
struct Way {
    from: Place,
    to: Place,
    weather: Arc<Mutex<Weather>>,
}

impl Way {
    fn back(&self) -> Self {
        Self { from: self.to, to: self.from, weather: Arc::clone(&self.weather) }
    }

    fn takes(&self) -> Duration {
        self.weather.lock().unwrap_or_else(PoisonError::into_inner).one_way(self.from, self.to)
    }

    fn is_cut(&self) -> bool {
        self.weather.lock().unwrap_or_else(PoisonError::into_inner).is_cut(self.from, self.to, Instant::now())
    }

    async fn opened(&self) {
        while self.is_cut() {
            sleep(LOOK_INTERVAL).await;
        }
    }
}

async fn attend(listener: TcpListener, control: SocketAddr, way: Way) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(carry(stream, control, way.clone()))),
                // Out of descriptors; some are freed when connections end.
                Err(_) => sleep(LOOK_INTERVAL).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Carries one connection until either end closes it.
async fn carry(near: TcpStream, control: SocketAddr, way: Way) {
    way.opened().await;
    // A control that does not listen is one that closes the connection.
    let Ok(far) = TcpStream::connect(control).await else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    let back = way.back();
    // A direction that ends in an error ends the other: its sockets are closed with it.
    let _ = tokio::try_join!(pass(near_in, far_out, &way), pass(far_in, near_out, &back));
}

/// Carries one direction, each piece when it is due.
async fn pass(input: impl AsyncRead + Unpin, output: impl AsyncWrite + Unpin, way: &Way) -> io::Result<()> {
    let (sender, pieces) = channel(PIECES_MAX);
    let (read, written) = tokio::join!(take(input, sender, way), give(output, pieces, way));
    read.and(written)
}

async fn take(mut input: impl AsyncRead + Unpin, pieces: Sender<(Instant, Vec<u8>)>, way: &Way) -> io::Result<()> {
    loop {
        let mut piece = vec![0; PIECE_BYTES];
        let length = input.read(&mut piece).await?;
        piece.truncate(length);
        let is_over = pieces.send((Instant::now() + way.takes(), piece)).await.is_err();
        if length == 0 || is_over {
            return Ok(());
        }
    }
}

async fn give(
    mut output: impl AsyncWrite + Unpin,
    mut pieces: Receiver<(Instant, Vec<u8>)>,
    way: &Way,
) -> io::Result<()> {
    while let Some((due, piece)) = pieces.recv().await {
        sleep_until(due.into()).await;
        way.opened().await;
        if piece.is_empty() {
            return output.shutdown().await;
        }
        output.write_all(&piece).await?;
    }
    Ok(())
}

/// How often it is looked whether a cut is over.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
const PIECE_BYTES: usize = 16 * 1024;
/// Pieces on their way; more are not read. 16 MiB for 80 ms are 1.6 Gbit/s.
const PIECES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::time::timeout;

    use super::{
        super::weather::{Party, Side},
        *,
    };

    struct Net {
        control: TcpListener,
        entrance: SocketAddr,
        weather: Arc<Mutex<Weather>>,
        _tunnels: Tunnels,
    }

    impl Net {
        async fn new(weather: Weather) -> Self {
            let any = (Ipv4Addr::LOCALHOST, 0);
            let (control, listener) = (TcpListener::bind(any).await.unwrap(), TcpListener::bind(any).await.unwrap());
            let weather = Arc::new(Mutex::new(weather));
            let entrance = listener.local_addr().unwrap();
            let node = Place { party: Party::Node(0), region: 1 };
            let place = Place { party: Party::Control, region: 0 };
            let address = control.local_addr().unwrap();
            let tunnels = Tunnels::start(vec![Entrance { listener, node }], (address, place), &weather);
            Self { control, entrance, weather, _tunnels: tunnels }
        }

        async fn connected(&self) -> (TcpStream, TcpStream) {
            let node = TcpStream::connect(self.entrance).await.unwrap();
            (node, self.control.accept().await.unwrap().0)
        }
    }

    async fn heard(stream: &mut TcpStream) -> String {
        let mut buffer = [0; 64];
        let length = stream.read(&mut buffer).await.unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[tokio::test]
    async fn both_ends_hear_each_other_after_the_time_it_takes_and_the_end_as_well() {
        let mut weather = Weather::calm(0);
        weather.set_rtt((0, 1), Duration::from_millis(60));
        let net = Net::new(weather).await;
        let (mut node, mut control) = net.connected().await;
        let start = Instant::now();
        node.write_all(b"ping").await.unwrap();
        assert_eq!(heard(&mut control).await, "ping");
        control.write_all(b"pong").await.unwrap();
        assert_eq!(heard(&mut node).await, "pong");
        assert!(start.elapsed() >= Duration::from_millis(60), "a whole round trip");
        drop(node);
        assert_eq!(heard(&mut control).await, "");
    }

    #[tokio::test]
    async fn a_cut_is_silence_and_what_was_said_arrives_when_it_is_healed() {
        let net = Net::new(Weather::calm(0)).await;
        let (mut node, mut control) = net.connected().await;
        net.weather.lock().unwrap().cut((Side::Region(1), Side::Party(Party::Control)), None);
        node.write_all(b"anybody?").await.unwrap();
        assert!(timeout(SILENCE, heard(&mut control)).await.is_err());
        let late = TcpStream::connect(net.entrance).await.unwrap();
        assert!(timeout(SILENCE, net.control.accept()).await.is_err(), "a new connection waits too");
        net.weather.lock().unwrap().heal(Instant::now());
        assert_eq!(heard(&mut control).await, "anybody?");
        net.control.accept().await.unwrap();
        drop(late);
    }

    const SILENCE: Duration = Duration::from_millis(300);
}
