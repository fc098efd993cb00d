//! What the driver counts besides the core: refused connections, turns, system calls.

/// A thread's plain counters; summed when somebody asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DriverStats {
    /// Sockets open now.
    pub sockets: u64,
    /// Connections accepted by the kernel and closed at once, by cause.
    pub shed: [u64; Shed::COUNT],
    /// Connections that ended before MQTT began, by cause.
    pub greeting_failed: [u64; GreetingFailed::COUNT],
    /// Turns of the loop.
    pub turns: u64,
    /// Reads from sockets.
    pub reads: u64,
    /// Writes of outboxes.
    pub writes: u64,
}

/// Why a connection was closed right after it was accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shed {
    /// The source connects too often.
    ConnectRate,
    /// The node has as many connections as it may.
    ConnectionsMax,
    /// Too many connections are at their greeting.
    Greetings,
    /// The process has no descriptors left.
    Descriptors,
}

impl Shed {
    /// How many there are.
    pub const COUNT: usize = 4;
    /// All, in the order of the counters.
    pub const ALL: [Self; Self::COUNT] = [Self::ConnectRate, Self::ConnectionsMax, Self::Greetings, Self::Descriptors];

    /// The label of the metric.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ConnectRate => "connect_rate",
            Self::ConnectionsMax => "connections_max",
            Self::Greetings => "greetings",
            Self::Descriptors => "descriptors",
        }
    }
}

/// Why a connection ended before MQTT began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GreetingFailed {
    /// Closed without a byte: a health check of a load balancer.
    Empty,
    /// Not done in time.
    Deadline,
    /// A PROXY header that is wrong, missing or not trusted.
    Proxy,
    /// The TLS handshake failed.
    Tls,
    /// The WebSocket handshake was refused.
    WebSocket,
    /// The client closed or reset in the middle.
    Gone,
}

impl GreetingFailed {
    /// How many there are.
    pub const COUNT: usize = 6;
    /// All, in the order of the counters.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Empty, Self::Deadline, Self::Proxy, Self::Tls, Self::WebSocket, Self::Gone];

    /// The label of the metric.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Deadline => "deadline",
            Self::Proxy => "proxy",
            Self::Tls => "tls",
            Self::WebSocket => "websocket",
            Self::Gone => "gone",
        }
    }
}

impl DriverStats {
    /// Adds another thread's figures.
    pub fn add(&mut self, other: &Self) {
        self.sockets += other.sockets;
        self.turns += other.turns;
        self.reads += other.reads;
        self.writes += other.writes;
        self.shed.iter_mut().zip(other.shed).for_each(|(mine, theirs)| *mine += theirs);
        self.greeting_failed.iter_mut().zip(other.greeting_failed).for_each(|(mine, theirs)| *mine += theirs);
    }
}
