//! The network between the nodes: a UDP socket in front of each of them, through which all others reach it.
//!
//! The address that a node advertises is that of its *face*, a socket of this process. A packet of node A to node B
//! arrives at the face of B from A's own address, and leaves from the face of A to B's own address: so B sees A where A
//! advertises itself, answers there, and the answer takes the same way back. The relay remembers nothing of
//! connections, and knows of each packet who sent it and to whom.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::UdpSocket,
    sync::mpsc::{Receiver, Sender, channel},
    task::JoinSet,
};

use super::weather::{Fate, Place, Weather};

/// The relay; dropped, nothing passes.
#[derive(Debug)]
pub(super) struct Relay {
    _tasks: JoinSet<()>,
}

/// A node as the relay sees it.
#[derive(Debug)]
pub(super) struct Face {
    /// Where the other nodes send to.
    pub(super) socket: UdpSocket,
    /// The node's own address.
    pub(super) home: SocketAddr,
    pub(super) place: Place,
}

impl Face {
    /// A face that listens at `address`, for a node at `home`.
    ///
    /// # Errors
    /// The address is taken.
    pub(super) fn open(address: SocketAddr, home: SocketAddr, place: Place) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        // A node sends bursts of whole windows; the kernel gives what it may.
        let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
        socket.bind(&address.into())?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket: UdpSocket::from_std(socket.into())?, home, place })
    }
}

impl Relay {
    /// Lets packets pass as the weather says.
    pub(super) fn start(faces: Vec<Face>, weather: &Arc<Mutex<Weather>>) -> Self {
        let street = Arc::new(Street {
            by_home: faces.iter().enumerate().map(|(nth, face)| (face.home, nth)).collect(),
            faces,
            weather: Arc::clone(weather),
        });
        let mut tasks = JoinSet::new();
        let (sender, parcels) = channel(PARCELS_MAX);
        for to in 0..street.faces.len() {
            tasks.spawn(Arc::clone(&street).receive(to, sender.clone()));
        }
        tasks.spawn(street.deliver(parcels));
        Self { _tasks: tasks }
    }
}

/// All faces.
struct Street {
    faces: Vec<Face>,
    by_home: BTreeMap<SocketAddr, usize>,
    weather: Arc<Mutex<Weather>>,
}

/// A packet that is on its way.
struct Parcel {
    due: Instant,
    from: usize,
    to: usize,
    bytes: Box<[u8]>,
}

impl Street {
    /// Takes what arrives for one node.
    async fn receive(self: Arc<Self>, to: usize, parcels: Sender<Parcel>) {
        let mut buffer = vec![0; PACKET_BYTES_MAX];
        loop {
            // An error is about a packet that was sent before, to a node that is dead.
            let Ok((length, source)) = self.faces[to].socket.recv_from(&mut buffer).await else { continue };
            // Strangers are not let in.
            let Some(&from) = self.by_home.get(&source) else { continue };
            let now = Instant::now();
            match self.fate(from, to, now) {
                Fate::Arrives(way) if way.is_zero() => self.send(from, to, &buffer[..length]).await,
                Fate::Arrives(way) => {
                    let bytes = buffer[..length].into();
                    // A queue that is full loses packets, as that of a router does.
                    let _ = parcels.try_send(Parcel { due: now + way, from, to, bytes });
                }
                Fate::Lost | Fate::Cut => {}
            }
        }
    }

    /// Delivers packets when they are due; those due at the same time in the order in which they came.
    async fn deliver(self: Arc<Self>, mut parcels: Receiver<Parcel>) {
        let mut waiting: BTreeMap<(Instant, u64), Parcel> = BTreeMap::new();
        let mut sequence = 0;
        loop {
            let next = waiting.keys().next().map(|(due, _)| *due);
            tokio::select! {
                // Beyond the bound they wait in the channel, which then is full.
                parcel = parcels.recv(), if waiting.len() < PARCELS_MAX => {
                    let Some(parcel) = parcel else { return };
                    sequence += 1;
                    waiting.insert((parcel.due, sequence), parcel);
                }
                () = until(next) => {}
            }
            while let Some(entry) = waiting.first_entry()
                && entry.key().0 <= Instant::now()
            {
                let parcel = entry.remove();
                // One that was sent before the links were cut is lost too: nothing arrives from behind a cut.
                if self.is_open(parcel.from, parcel.to) {
                    self.send(parcel.from, parcel.to, &parcel.bytes).await;
                }
            }
        }
    }

    fn is_open(&self, from: usize, to: usize) -> bool {
        let weather = self.weather.lock().unwrap_or_else(PoisonError::into_inner);
        !weather.is_cut(self.faces[from].place, self.faces[to].place, Instant::now())
    }

    fn fate(&self, from: usize, to: usize, now: Instant) -> Fate {
        let mut weather = self.weather.lock().unwrap_or_else(PoisonError::into_inner);
        weather.fate(self.faces[from].place, self.faces[to].place, now)
    }

    async fn send(&self, from: usize, to: usize, packet: &[u8]) {
        // What cannot be sent is lost, as on any network.
        let _ = self.faces[from].socket.send_to(packet, self.faces[to].home).await;
    }
}

/// Until then; without a time for ever.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

/// The largest UDP packet.
const PACKET_BYTES_MAX: usize = 65_536;
/// Packets on their way at a time, in the channel and again before their time; then more are lost. Of full size they are
/// 100 ms of a gigabit.
const PARCELS_MAX: usize = 8192;
const SOCKET_BUFFER_BYTES: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, time::Duration};

    use super::{
        super::weather::{Party, Side},
        *,
    };

    /// Three nodes, each alone in its region: their own sockets, and where the others reach them.
    struct Net {
        nodes: Vec<UdpSocket>,
        faces: Vec<SocketAddr>,
        weather: Arc<Mutex<Weather>>,
        _relay: Relay,
    }

    impl Net {
        async fn new(weather: Weather) -> Self {
            let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let (mut nodes, mut faces) = (Vec::new(), Vec::new());
            for nth in 0..3 {
                let node = UdpSocket::bind(any).await.unwrap();
                let place = Place { party: Party::Node(nth), region: nth };
                faces.push(Face::open(any, node.local_addr().unwrap(), place).unwrap());
                nodes.push(node);
            }
            let weather = Arc::new(Mutex::new(weather));
            let addresses = faces.iter().map(|face| face.socket.local_addr().unwrap()).collect();
            let relay = Relay::start(faces, &weather);
            Self { nodes, faces: addresses, weather, _relay: relay }
        }

        async fn send(&self, from: usize, to: usize, text: &str) {
            self.nodes[from].send_to(text.as_bytes(), self.faces[to]).await.unwrap();
        }

        /// What a node receives next, and from whom; `None` when nothing comes for a while.
        async fn next(&self, to: usize) -> Option<(String, usize)> {
            let mut buffer = [0; 64];
            let packet = self.nodes[to].recv_from(&mut buffer);
            let (length, source) = tokio::time::timeout(SILENCE, packet).await.ok()?.unwrap();
            let from = self.faces.iter().position(|face| *face == source).expect("it comes from a face");
            Some((String::from_utf8(buffer[..length].to_vec()).unwrap(), from))
        }
    }

    #[tokio::test]
    async fn a_packet_arrives_from_the_face_of_its_sender_and_so_does_the_answer() {
        let net = Net::new(Weather::calm(0)).await;
        net.send(0, 1, "hello").await;
        assert_eq!(net.next(1).await, Some(("hello".into(), 0)));
        net.send(1, 0, "well?").await;
        assert_eq!(net.next(0).await, Some(("well?".into(), 1)));
    }

    #[tokio::test]
    async fn a_stranger_is_not_let_in() {
        let net = Net::new(Weather::calm(0)).await;
        let stranger = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        stranger.send_to(b"let me in", net.faces[1]).await.unwrap();
        net.send(0, 1, "hello").await;
        assert_eq!(net.next(1).await, Some(("hello".into(), 0)));
    }

    #[tokio::test]
    async fn packets_that_take_time_arrive_in_their_order_and_behind_those_that_take_none() {
        let mut weather = Weather::calm(0);
        weather.set_rtt((0, 1), Duration::from_millis(100));
        let net = Net::new(weather).await;
        let start = Instant::now();
        for nth in 0..50 {
            net.send(0, 1, &nth.to_string()).await;
        }
        net.send(2, 1, "near").await;
        assert_eq!(net.next(1).await, Some(("near".into(), 2)));
        for nth in 0..50 {
            assert_eq!(net.next(1).await, Some((nth.to_string(), 0)));
        }
        assert!(start.elapsed() >= Duration::from_millis(50), "half of the round trip has passed");
    }

    #[tokio::test]
    async fn with_loss_the_seed_says_which_packets_arrive() {
        let lossy = || {
            let mut weather = Weather::calm(42);
            weather.set_loss((0, 1), 0.5);
            weather
        };
        let net = Net::new(lossy()).await;
        let (a, b) = (Place { party: Party::Node(0), region: 0 }, Place { party: Party::Node(1), region: 1 });
        let mut twin = lossy();
        let mut arrived = 0;
        for nth in 0..200 {
            net.send(0, 1, &nth.to_string()).await;
            if twin.fate(a, b, Instant::now()) != Fate::Lost {
                arrived += 1;
                assert_eq!(net.next(1).await, Some((nth.to_string(), 0)));
            }
        }
        assert!((60..140).contains(&arrived), "{arrived} of 200 at 50 %");
    }

    #[tokio::test]
    async fn nothing_passes_a_cut_not_even_what_was_on_its_way_until_it_is_healed() {
        let mut weather = Weather::calm(0);
        weather.set_rtt((0, 1), Duration::from_millis(200));
        let net = Net::new(weather).await;
        net.send(0, 1, "on its way").await;
        // It has to be taken in before the cut, or the test would say less.
        tokio::time::sleep(Duration::from_millis(20)).await;
        net.weather.lock().unwrap().cut((Side::Region(0), Side::Region(1)), None);
        net.send(0, 1, "too late").await;
        net.send(1, 0, "too late").await;
        net.send(0, 2, "elsewhere").await;
        assert_eq!(net.next(2).await, Some(("elsewhere".into(), 0)));
        assert_eq!(net.next(1).await, None);
        assert_eq!(net.next(0).await, None);
        assert_eq!(net.weather.lock().unwrap().heal(Instant::now()), 1);
        net.send(0, 1, "again").await;
        assert_eq!(net.next(1).await, Some(("again".into(), 0)));
    }

    /// Longer than any way in these tests.
    const SILENCE: Duration = Duration::from_millis(700);
}
