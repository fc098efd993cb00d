//! A node: real workers and a real gate, and what stands around them in a process. It does what they ask for at once, or
//! hands it to the world as an [`Effect`] when it takes time.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use sluice_cluster::{NodeId, Sharding, WorkerId};
use sluice_dataplane_access::Rules;
use sluice_dataplane_core::{
    ClosedBy, ConnId, Flush, Gate, GateOutput, GateSettings, Input, Key, Now, Op, Opened, Output, Settings, Then,
    Transport, Verdict, Worker, WriteBatch,
    link::{Lane, LinkError},
};

/// A client's connection, in the whole world.
pub(crate) type SocketId = usize;

/// What takes time.
pub(crate) enum Effect {
    /// An input for a worker; `from` names the queue it stands in.
    Mail { from: usize, to: usize, input: Input },
    /// Frames for the gate.
    ToGate { from: usize, frames: Vec<u8> },
    /// A batch was written and is to be synced.
    Written { worker: usize, batch: u64 },
    /// Bytes for a client.
    Bytes { socket: SocketId, bytes: Vec<u8> },
    /// The node has closed a connection.
    Closed { socket: SocketId },
    /// A connection belongs to another node, with what it has sent.
    Proxy { socket: SocketId, node: NodeId, bytes: Vec<u8> },
    /// The gate says that a link is up or down.
    Reach { node: NodeId, up: bool },
    /// The gate counts a node as lost.
    Lost { node: NodeId },
    /// The gate wants a connection closed.
    Close { node: NodeId, connection: u64, error: LinkError },
}

/// The queue of answers from store and authentication.
const STORE: usize = 99;

struct Socket {
    worker: usize,
    conn: ConnId,
    inbound: Vec<u8>,
    paused: bool,
    via: Option<NodeId>,
}

/// A node that runs, or whose process is gone and whose disk is there.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) region: &'static str,
    /// Counts its processes.
    pub(crate) life: u64,
    pub(crate) alive: bool,
    pub(crate) gate: Gate,
    workers: Vec<Worker>,
    settings: Arc<Settings>,
    disk: BTreeMap<Key, Bytes>,
    unsynced: VecDeque<(usize, u64, WriteBatch)>,
    sockets: BTreeMap<SocketId, Socket>,
    places: HashMap<(usize, ConnId), SocketId>,
    pub(crate) effects: Vec<Effect>,
    /// No two clocks agree.
    skew_ms: u64,
}

impl Node {
    pub(crate) fn new(gate: GateSettings, region: &'static str, settings: Arc<Settings>, now_ms: u64) -> Self {
        let mut node = Self {
            id: gate.node,
            region,
            life: gate.incarnation.0,
            alive: true,
            workers: Vec::new(),
            skew_ms: gate.node.0 * 77_777,
            gate: Gate::new(gate.clone()),
            settings,
            disk: BTreeMap::new(),
            unsynced: VecDeque::new(),
            sockets: BTreeMap::new(),
            places: HashMap::new(),
            effects: Vec::new(),
        };
        node.boot(&gate, now_ms);
        node
    }

    fn boot(&mut self, gate: &GateSettings, now_ms: u64) {
        let workers = gate.workers;
        let sharding = Sharding::new(self.settings.shards, workers);
        let now = self.now(now_ms);
        let (disk, settings) = (&self.disk, &self.settings);
        let start = |n: u16| {
            let seed = gate.seed ^ ((u64::from(n) + 1) * 0x1234_5677);
            let rules = Arc::new(Rules::allow_all());
            let mut worker = Worker::new(WorkerId(n), workers, Arc::clone(settings), rules, seed);
            for (key, value) in disk.iter().filter(|(key, _)| sharding.worker_of(key.shard()) == WorkerId(n)) {
                let restored = worker.restore(key.clone(), value.clone());
                assert!(restored.is_ok(), "what was stored is read: {restored:?}");
            }
            worker.restored(now);
            worker
        };
        self.workers = (0..workers).map(start).collect();
    }

    /// Starts the process again, in a new life.
    pub(crate) fn restart(&mut self, gate: &GateSettings, now_ms: u64) {
        self.life = gate.incarnation.0;
        self.alive = true;
        self.gate = Gate::new(gate.clone());
        self.boot(gate, now_ms);
    }

    /// Kills the process. Of each worker's batches that were not synced, `kept` says how many reached the disk.
    pub(crate) fn kill(&mut self, mut kept: impl FnMut(usize) -> usize) {
        self.alive = false;
        for worker in 0..self.workers.len() {
            let waiting = self.unsynced.iter().filter(|(of, ..)| *of == worker).count();
            if let Some(last) = kept(waiting).checked_sub(1) {
                let batch = self.unsynced.iter().filter(|(of, ..)| *of == worker).nth(last).map(|(_, batch, _)| *batch);
                batch.into_iter().for_each(|batch| self.store(worker, batch));
            }
        }
        self.unsynced.clear();
        self.sockets.clear();
        self.places.clear();
        self.effects.clear();
    }

    pub(crate) fn now(&self, now_ms: u64) -> Now {
        Now { mono_ms: now_ms, wall_ms: 1_700_000_000_000 + self.skew_ms + now_ms }
    }

    /// When something is due next.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        let workers = self.workers.iter().filter_map(Worker::poll_timeout);
        workers.chain(self.gate.poll_timeout()).min().filter(|_| self.alive)
    }

    /// Does what is due.
    pub(crate) fn tick(&mut self, now_ms: u64) {
        let now = self.now(now_ms);
        for worker in &mut self.workers {
            if worker.poll_timeout().is_some_and(|due| due <= now_ms) {
                worker.tick(now);
            }
        }
        if self.gate.poll_timeout().is_some_and(|due| due <= now_ms) {
            self.gate.tick(now);
        }
    }

    /// Gives a worker an input.
    pub(crate) fn mail(&mut self, now_ms: u64, to: usize, input: Input) {
        let now = self.now(now_ms);
        self.workers[to].handle(now, input);
    }

    /// A batch and all before it of a worker are on stable storage.
    pub(crate) fn synced(&mut self, now_ms: u64, worker: usize, batch: u64) {
        self.store(worker, batch);
        self.mail(now_ms, worker, Input::Stored { batch });
    }

    fn store(&mut self, worker: usize, batch: u64) {
        let is_stored = |(of, number, _): &(usize, u64, WriteBatch)| *of == worker && *number <= batch;
        let (stored, left) = std::mem::take(&mut self.unsynced).into_iter().partition(is_stored);
        self.unsynced = left;
        let stored: VecDeque<(usize, u64, WriteBatch)> = stored;
        for op in stored.into_iter().flat_map(|(_, _, batch)| batch.ops) {
            match op {
                Op::Put(key, value) => self.disk.insert(key, value),
                Op::Drop(key) => self.disk.remove(&key),
            };
        }
    }

    fn written(&self, key: &Key) -> Option<Bytes> {
        let mut ops = self.unsynced.iter().rev().flat_map(|(_, _, batch)| batch.ops.iter().rev());
        match ops.find(|op| matches!(op, Op::Put(of, _) | Op::Drop(of) if of == key)) {
            Some(Op::Put(_, value)) => Some(value.clone()),
            Some(Op::Drop(_)) => None,
            None => self.disk.get(key).cloned(),
        }
    }

    /// Workers of other nodes whose registers are not copied as they are.
    pub(crate) fn copies_behind(&self) -> u64 {
        self.workers.iter().map(|worker| worker.stats().retained_copies_behind).sum()
    }

    /// Lets workers and gate do what they have to do. Call after anything.
    pub(crate) fn settle(&mut self, now_ms: u64) {
        let mut moved = true;
        while moved {
            moved = false;
            for at in 0..self.workers.len() {
                moved |= self.settle_worker(now_ms, at);
            }
        }
        while let Some(output) = self.gate.poll_output() {
            self.perform_for_gate(output);
        }
    }

    fn settle_worker(&mut self, now_ms: u64, at: usize) -> bool {
        let now = self.now(now_ms);
        let mut moved = false;
        if self.workers[at].poll_timeout() == Some(0) {
            moved = true;
            self.workers[at].tick(now);
        }
        while let Some(output) = self.workers[at].poll_output() {
            moved = true;
            self.perform(now_ms, at, output);
        }
        while let Some(conn) = self.workers[at].next_dirty() {
            moved = true;
            self.flush(now_ms, at, conn);
        }
        moved
    }

    fn perform_for_gate(&mut self, output: GateOutput) {
        let gate = self.workers.len();
        match output {
            GateOutput::ToWorker { worker, frames } => {
                let input = Input::FromWorker { from: WorkerId(gate as u16), frames };
                self.effects.push(Effect::Mail { from: gate, to: worker.index(), input });
            }
            GateOutput::Homes(homes) => {
                for to in 0..gate {
                    let input = Input::Homes(Arc::clone(&homes));
                    self.effects.push(Effect::Mail { from: gate, to, input });
                }
            }
            GateOutput::Routes(routes) => {
                for to in 0..gate {
                    let input = Input::Routes(Arc::clone(&routes));
                    self.effects.push(Effect::Mail { from: gate, to, input });
                }
            }
            GateOutput::Reach { node, up } => self.effects.push(Effect::Reach { node, up }),
            GateOutput::Lost { node } => self.effects.push(Effect::Lost { node }),
            GateOutput::Close { node, connection, error } => {
                self.effects.push(Effect::Close { node, connection, error });
            }
        }
    }

    fn perform(&mut self, now_ms: u64, at: usize, output: Output) {
        match output {
            Output::Write { batch, ops } => {
                self.unsynced.push_back((at, batch, ops));
                self.effects.push(Effect::Written { worker: at, batch });
            }
            Output::Load { shard, first } => {
                let block = self.written(&Key::Block(shard, first));
                self.answer(at, Input::Loaded { shard, first, block });
            }
            Output::LoadRetained { read, topics } => {
                let value = |(shard, topic)| self.written(&Key::Retained(shard, topic));
                let messages = topics.into_iter().map(value).collect();
                self.answer(at, Input::LoadedRetained { read, messages });
            }
            Output::ToWorker { worker, frames } if worker.index() == self.workers.len() => {
                self.effects.push(Effect::ToGate { from: at, frames });
            }
            Output::ToWorker { worker, frames } => {
                let input = Input::FromWorker { from: WorkerId(at as u16), frames };
                self.effects.push(Effect::Mail { from: at, to: worker.index(), input });
            }
            Output::Authenticate { conn, .. } => {
                self.answer(at, Input::Authenticated { conn, verdict: Verdict::Accept(Box::default()) });
            }
            Output::Close { conn } => {
                self.flush(now_ms, at, conn);
                self.end(now_ms, at, conn);
            }
            Output::Pause { conn } => self.pause(at, conn, true),
            Output::Resume { conn } => {
                self.pause(at, conn, false);
                if let Some(&socket) = self.places.get(&(at, conn)) {
                    self.feed(now_ms, socket);
                }
            }
            Output::Log(_) => {}
        }
    }

    fn answer(&mut self, to: usize, input: Input) {
        self.effects.push(Effect::Mail { from: STORE, to, input });
    }

    fn pause(&mut self, at: usize, conn: ConnId, paused: bool) {
        let socket = self.places.get(&(at, conn)).and_then(|socket| self.sockets.get_mut(socket));
        socket.into_iter().for_each(|socket| socket.paused = paused);
    }

    fn flush(&mut self, now_ms: u64, at: usize, conn: ConnId) {
        let Some(&socket) = self.places.get(&(at, conn)) else { return };
        let now = self.now(now_ms);
        let mut bytes = Vec::new();
        if let Some(outbox) = self.workers[at].outbox(conn) {
            loop {
                let mut slices = [std::io::IoSlice::new(&[]); 64];
                let filled = outbox.fill(&mut slices);
                let before = bytes.len();
                slices[..filled].iter().for_each(|slice| bytes.extend_from_slice(slice));
                let taken = bytes.len() - before;
                if taken == 0 {
                    break;
                }
                outbox.advance(taken);
            }
        }
        if !bytes.is_empty() {
            self.effects.push(Effect::Bytes { socket, bytes });
        }
        self.workers[at].flushed(now, conn, Flush::Done);
    }

    fn end(&mut self, now_ms: u64, at: usize, conn: ConnId) {
        if let Some(socket) = self.places.remove(&(at, conn)) {
            self.sockets.remove(&socket);
            self.effects.push(Effect::Closed { socket });
        }
        let now = self.now(now_ms);
        self.workers[at].closed(now, conn, ClosedBy::Broker);
    }

    /// A client has connected, here or to the node `via`.
    pub(crate) fn open(&mut self, now_ms: u64, socket: SocketId, via: Option<NodeId>) {
        let worker = socket % self.workers.len();
        let opened = Opened { listener: 0, peer: None, transport: Transport::Tcp, certificate: None, via };
        let now = self.now(now_ms);
        let conn = self.workers[worker].open(now, opened);
        self.places.insert((worker, conn), socket);
        self.sockets.insert(socket, Socket { worker, conn, inbound: Vec::new(), paused: false, via });
    }

    /// Bytes of a client have come.
    pub(crate) fn receive(&mut self, now_ms: u64, socket: SocketId, bytes: &[u8]) {
        if let Some(open) = self.sockets.get_mut(&socket) {
            open.inbound.extend_from_slice(bytes);
            self.feed(now_ms, socket);
        }
    }

    fn feed(&mut self, now_ms: u64, id: SocketId) {
        let now = self.now(now_ms);
        loop {
            let Some(socket) = self.sockets.get_mut(&id) else { return };
            if socket.paused {
                return;
            }
            let (at, conn, via) = (socket.worker, socket.conn, socket.via);
            let received = self.workers[at].receive(now, conn, &socket.inbound);
            socket.inbound.drain(..received.consumed);
            match received.then {
                Then::Continue if received.consumed == 0 || socket.inbound.is_empty() => return,
                Then::Continue => {}
                Then::Pause => {
                    socket.paused = true;
                    return;
                }
                Then::HandOver(worker) => {
                    let opened = Opened { listener: 0, peer: None, transport: Transport::Tcp, certificate: None, via };
                    socket.worker = worker.index();
                    socket.conn = self.workers[worker.index()].open(now, opened);
                    self.places.remove(&(at, conn));
                    self.places.insert((socket.worker, socket.conn), id);
                }
                Then::Proxy(node) => {
                    self.places.remove(&(at, conn));
                    let bytes = std::mem::take(&mut socket.inbound);
                    self.sockets.remove(&id);
                    self.effects.push(Effect::Proxy { socket: id, node, bytes });
                    return;
                }
                Then::Close => {
                    self.flush(now_ms, at, conn);
                    self.end(now_ms, at, conn);
                    return;
                }
            }
        }
    }

    /// A connection is gone. Whether it was there.
    pub(crate) fn hang_up(&mut self, now_ms: u64, socket: SocketId, by: ClosedBy) -> bool {
        let Some(Socket { worker, conn, .. }) = self.sockets.remove(&socket) else { return false };
        self.places.remove(&(worker, conn));
        let now = self.now(now_ms);
        self.workers[worker].closed(now, conn, by);
        true
    }

    /// Frames of a worker for the gate.
    pub(crate) fn give_gate(&mut self, now_ms: u64, from: usize, frames: &[u8]) {
        let now = self.now(now_ms);
        self.gate.from_worker(now, WorkerId(from as u16), frames);
    }

    /// What a link has to send, up to about `max` bytes.
    pub(crate) fn transmit(&mut self, now_ms: u64, to: NodeId, lane: Lane, max: usize) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let now = self.now(now_ms);
        self.gate.transmit(now, to, lane, &mut bytes, max).then_some(bytes)
    }
}
