//! The Push service: a task for each node's stream, and what is told to whoever decides.

mod stream;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sluice_cluster::{Address, NodeId, Registration, Report, Version, interest::InterestFrame};
use sluice_discovery::{Limits, PerType, ResourceType, Snapshot, Timing, TypeStatus};
use sluice_proto::push::v1 as pb;
use sluice_proto_service::push::v1::push_server;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tonic::{
    Request, Response, Status, Streaming, codegen::tokio_stream::wrappers::ReceiverStream, metadata::MetadataValue,
};

use self::stream::StreamTask;
use crate::serve::{node_of, remote_of};

/// Names a stream; a later one has a higher number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StreamId(pub u64);

/// What happens on streams. Those of one stream come in order, `Connected` first and `Gone` last; a node's later stream may
/// be connected before its earlier one is gone.
#[derive(Debug)]
pub enum Event {
    /// A node has said who it is. Nothing is sent to it before the answer.
    Connected {
        /// The stream.
        stream: StreamId,
        /// Who it is, by its certificate.
        node: NodeId,
        /// Where it comes from.
        remote: Option<SocketAddr>,
        /// What it says of itself.
        registration: Registration,
        /// What it holds.
        status: NodeStatus,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Tables, Refused>>,
    },
    /// What a node holds or refuses has changed: it has answered, or its heartbeat says so.
    Status {
        /// The stream.
        stream: StreamId,
        /// The node.
        node: NodeId,
        /// How it is from here on.
        status: NodeStatus,
    },
    /// A node reports.
    Report {
        /// The stream.
        stream: StreamId,
        /// The node.
        node: NodeId,
        /// What it says.
        report: Report,
    },
    /// A stream that was connected is over.
    Gone {
        /// The stream.
        stream: StreamId,
        /// The node.
        node: NodeId,
        /// Why.
        reason: String,
    },
}

/// How a node stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeStatus {
    /// What it holds of each type, and what it refuses and why.
    pub types: PerType<TypeStatus>,
    /// A type of which it holds a newer version than is published here: another leader is at work, or the store was
    /// restored from the past.
    pub behind: Option<(ResourceType, Version)>,
    /// Whether it has acknowledged all that is published.
    pub is_current: bool,
}

/// What a node is given. Letting go of either end of these closes the stream.
#[derive(Debug)]
pub struct Tables {
    /// What the node is to hold; of routes, those of its region.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// Questions and acknowledgements about its interest. Those that wait here were not sent.
    pub interest: mpsc::Receiver<InterestFrame>,
}

/// Why a node is given nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refused {
    /// Another replica leads; it is there, if that is known.
    NotLeader {
        /// Where nodes reach the leader.
        leader: Option<Address>,
    },
    /// The node was removed, or there are too many.
    NotMember {
        /// What to tell it.
        reason: String,
    },
}

/// Bounds of streams.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PushSettings {
    /// As at the nodes.
    pub limits: Limits,
    /// As at the nodes.
    pub timing: Timing,
    /// How long a node may take to say who it is, and how long it waits for [`Event::Connected`] to be answered.
    pub greeting_max: Duration,
}

impl Default for PushSettings {
    fn default() -> Self {
        Self { limits: Limits::default(), timing: Timing::default(), greeting_max: Duration::from_secs(10) }
    }
}

/// The service. Clones are one service.
#[derive(Clone, Debug)]
pub struct Push {
    settings: PushSettings,
    events: mpsc::Sender<Event>,
    streams: Arc<Streams>,
}

/// The streams that are open.
#[derive(Debug, Default)]
struct Streams {
    last: AtomicU64,
    /// One for each node: a later one ends an earlier one.
    open: Mutex<HashMap<NodeId, (StreamId, Arc<Notify>)>>,
    stop: watch::Sender<bool>,
}

impl Push {
    /// A service that tells `events` what happens. When its buffer is full, streams wait.
    #[must_use]
    pub fn new(settings: PushSettings, events: mpsc::Sender<Event>) -> Self {
        Self { settings, events, streams: Arc::default() }
    }

    /// Ends all streams, as when this replica does not lead any more. Nodes go elsewhere. Later ones are served.
    pub fn end_streams(&self) {
        self.streams.lock().drain().for_each(|(_, (_, end))| end.notify_one());
    }

    /// Ends all streams, and those that are still to come.
    pub fn stop(&self) {
        self.streams.stop.send_replace(true);
    }
}

impl Streams {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<NodeId, (StreamId, Arc<Notify>)>> {
        // Nothing panics while it is held.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn opened(&self, node: NodeId) -> (StreamId, Arc<Notify>) {
        let id = StreamId(self.last.fetch_add(1, Ordering::Relaxed) + 1);
        let end = Arc::new(Notify::new());
        if let Some((_, earlier)) = self.lock().insert(node, (id, Arc::clone(&end))) {
            earlier.notify_one();
        }
        (id, end)
    }

    fn closed(&self, node: NodeId, id: StreamId) {
        let mut open = self.lock();
        if open.get(&node).is_some_and(|(latest, _)| *latest == id) {
            open.remove(&node);
        }
    }
}

#[tonic::async_trait]
impl push_server::Push for Push {
    type StreamStream = ReceiverStream<Result<pb::Down, Status>>;

    async fn stream(&self, request: Request<Streaming<pb::Up>>) -> Result<Response<Self::StreamStream>, Status> {
        let node = node_of(&request)?;
        let remote = remote_of(&request);
        // The transport takes the next frame when it has sent the last one: one that waits is enough.
        let (down, frames) = mpsc::channel(1);
        tokio::spawn(StreamTask::new(self, node, remote, request.into_inner(), down).run());
        Ok(Response::new(ReceiverStream::new(frames)))
    }
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NotLeader { leader } => {
                let mut status = Self::unavailable("another replica of control leads");
                let address = leader.and_then(|leader| MetadataValue::try_from(leader.as_str()).ok());
                if let Some(address) = address {
                    status.metadata_mut().insert(LEADER, address);
                }
                status
            }
            Refused::NotMember { reason } => Self::permission_denied(reason),
        }
    }
}

/// Where the leader is, in the metadata of a refusal. Part of the protocol.
const LEADER: &str = "sluice-leader";
