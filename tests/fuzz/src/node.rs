//! A node without threads, sockets or disk: workers, a store and connections, moved one step at a time in an order that
//! the input chooses.
//!
//! Everything that a real node does at the same time is a queue here: frames between each two workers, answers of the
//! store, verdicts, connections handed over. [`Node::step`] takes one entry of one queue. So an input decides what is
//! slow, and a crash finds any state that a real one could.

use std::{collections::VecDeque, io::IoSlice, sync::Arc};

use sluice_cluster::{ShardId, Sharding, WorkerId};
use sluice_dataplane_access::Rules;
use sluice_dataplane_core::{
    ClosedBy, ConnId, Flush, Input, Now, Opened, Output, Settings, Then, Transport, Verdict, Worker,
};
use sluice_dataplane_store::{Answer, MemoryStore};

/// A connection, from the first byte of a client to the last one that it reads. Never reused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SocketId(usize);

struct Socket {
    worker: usize,
    conn: Option<ConnId>,
    /// From the client, not consumed.
    inbound: Vec<u8>,
    /// To the client, not read.
    outbound: Vec<u8>,
    paused: bool,
    /// Whether the socket takes no bytes.
    blocked: bool,
    /// Whether the client has closed its side.
    hung_up: bool,
    /// Whether the broker has closed it.
    ended: bool,
}

enum Mail {
    Input(Box<Input>),
    /// A connection that another worker handed over.
    Accept(SocketId),
}

/// The node.
pub(crate) struct Node {
    settings: Arc<Settings>,
    workers: Vec<Worker>,
    sockets: Vec<Socket>,
    store: MemoryStore,
    /// One queue for each pair of workers, then one for each worker's store and verdicts.
    mail: Vec<VecDeque<Mail>>,
    now: Now,
    boots: u64,
}

impl Node {
    pub(crate) fn new(workers: u16, settings: Settings) -> Self {
        let count = usize::from(workers);
        let mut node = Self {
            settings: Arc::new(settings),
            workers: Vec::new(),
            sockets: Vec::new(),
            store: MemoryStore::new(),
            mail: (0..count * (count + 1)).map(|_| VecDeque::new()).collect(),
            now: Now { mono_ms: 1_000, wall_ms: 1_700_000_000_000 },
            boots: 0,
        };
        node.boot(workers);
        node
    }

    fn boot(&mut self, workers: u16) {
        self.boots += 1;
        let sharding = Sharding::new(self.settings.shards, workers);
        self.workers = (0..workers)
            .map(|n| {
                let rules = Arc::new(Rules::allow_all());
                let seed = self.boots << 8 | u64::from(n);
                let mut worker = Worker::new(WorkerId(n), workers, Arc::clone(&self.settings), rules, seed);
                let own = |shard: ShardId| sharding.worker_of(shard) == WorkerId(n);
                self.store.recover(own, |key, value| worker.restore(key, value)).expect("what was stored can be read");
                worker.restored(self.now);
                worker
            })
            .collect();
        (0..self.workers.len()).for_each(|at| self.turn(at));
    }

    /// Kills the process and starts it again. Of the batches that wait the oldest `survivors` had reached the disk.
    pub(crate) fn crash(&mut self, survivors: usize) {
        let workers = self.workers.len() as u16;
        self.store = std::mem::take(&mut self.store).crash(survivors);
        self.mail.iter_mut().for_each(VecDeque::clear);
        for socket in &mut self.sockets {
            (socket.conn, socket.ended) = (None, true);
        }
        self.advance(100);
        self.boot(workers);
    }

    fn advance(&mut self, ms: u64) {
        self.now.mono_ms += ms;
        self.now.wall_ms += ms;
    }

    /// Lets time pass, timer by timer.
    pub(crate) fn pass_ms(&mut self, ms: u64) {
        let end = self.now.mono_ms + ms;
        while self.now.mono_ms < end {
            let next = self.workers.iter().filter_map(Worker::poll_timeout).min().unwrap_or(end);
            self.advance(next.clamp(self.now.mono_ms + 1, end) - self.now.mono_ms);
            for at in 0..self.workers.len() {
                self.workers[at].tick(self.now);
                self.turn(at);
            }
        }
    }

    /// Makes up to `batches` batches durable and answers up to `reads` reads.
    pub(crate) fn serve_store(&mut self, batches: usize, reads: usize) {
        let answers = self.store.sync(batches).into_iter().chain(self.store.serve(reads));
        for answer in answers.collect::<Vec<Answer>>() {
            let Some(worker) = answer.worker() else { continue };
            let at = self.own_queue(worker.index());
            self.mail[at].push_back(Mail::Input(Box::new(answer.into())));
        }
    }

    /// Delivers one entry of one queue; false when all are empty. `choice` says which queue.
    pub(crate) fn step(&mut self, choice: usize) -> bool {
        let waiting = self.mail.iter().filter(|queue| !queue.is_empty()).count();
        if waiting == 0 {
            return false;
        }
        let mut filled = self.mail.iter_mut().enumerate().filter(|(_, queue)| !queue.is_empty());
        let Some((at, mail)) = filled.nth(choice % waiting).and_then(|(at, queue)| Some((at, queue.pop_front()?)))
        else {
            return false;
        };
        let worker = at % self.workers.len();
        match mail {
            Mail::Input(input) => self.workers[worker].handle(self.now, *input),
            Mail::Accept(socket) => self.accept(worker, socket),
        }
        self.turn(worker);
        true
    }

    /// Runs until nothing moves; with `sync`, the store too.
    pub(crate) fn settle(&mut self, sync: bool) {
        loop {
            while self.step(0) {}
            if !sync || self.store.batches_waiting() + self.store.reads_waiting() == 0 {
                return;
            }
            self.serve_store(usize::MAX, usize::MAX);
        }
    }

    /// A client connects to a worker.
    pub(crate) fn open(&mut self, worker: usize) -> SocketId {
        let at = worker % self.workers.len();
        let conn = Some(self.workers[at].open(self.now, opened()));
        let (inbound, outbound) = (Vec::new(), Vec::new());
        let (paused, blocked, hung_up, ended) = (false, false, false, false);
        self.sockets.push(Socket { worker: at, conn, inbound, outbound, paused, blocked, hung_up, ended });
        self.turn(at);
        SocketId(self.sockets.len() - 1)
    }

    /// A client sends bytes.
    pub(crate) fn send(&mut self, socket: SocketId, bytes: &[u8]) {
        self.sockets[socket.0].inbound.extend_from_slice(bytes);
        self.feed(socket);
    }

    /// A client takes what it was sent.
    pub(crate) fn read(&mut self, socket: SocketId) -> Vec<u8> {
        std::mem::take(&mut self.sockets[socket.0].outbound)
    }

    /// Whether neither side has closed the connection.
    pub(crate) fn is_open(&self, socket: SocketId) -> bool {
        !(self.sockets[socket.0].ended || self.sockets[socket.0].hung_up)
    }

    /// A client closes its side without a word.
    pub(crate) fn hang_up(&mut self, socket: SocketId) {
        self.sockets[socket.0].hung_up = true;
        if let Some(conn) = self.sockets[socket.0].conn {
            let at = self.sockets[socket.0].worker;
            self.end(at, conn, ClosedBy::Client);
            self.turn(at);
        }
    }

    /// A socket takes no more bytes, or takes them again.
    pub(crate) fn block(&mut self, socket: SocketId, blocked: bool) {
        self.sockets[socket.0].blocked = blocked;
        let (at, conn) = (self.sockets[socket.0].worker, self.sockets[socket.0].conn);
        if let Some(conn) = conn
            && !blocked
        {
            self.flush(at, conn);
            self.turn(at);
        }
    }

    /// Does what a worker wants done, as the driver does after each input.
    fn turn(&mut self, at: usize) {
        loop {
            let mut moved = false;
            while let Some(output) = self.workers[at].poll_output() {
                moved = true;
                self.perform(at, output);
            }
            while let Some(conn) = self.workers[at].next_dirty() {
                moved = true;
                self.flush(at, conn);
            }
            if !moved {
                return;
            }
        }
    }

    fn perform(&mut self, at: usize, output: Output) {
        let own = self.own_queue(at);
        match output {
            Output::Write { batch, ops } => self.store.submit(WorkerId(at as u16), batch, ops),
            Output::Load { shard, first } => self.store.load(WorkerId(at as u16), shard, first),
            Output::LoadRetained { read, topics } => {
                self.store.load_retained(WorkerId(at as u16), read, topics);
            }
            Output::ToWorker { worker, frames } => {
                let queue = self.queue(at, worker.index());
                let from = WorkerId(at as u16);
                self.mail[queue].push_back(Mail::Input(Box::new(Input::FromWorker { from, frames })));
            }
            Output::Authenticate { conn, .. } => {
                let verdict = Verdict::Accept(Box::default());
                self.mail[own].push_back(Mail::Input(Box::new(Input::Authenticated { conn, verdict })));
            }
            Output::Close { conn } => {
                self.flush(at, conn);
                self.end(at, conn, ClosedBy::Broker);
            }
            Output::Pause { conn } => {
                if let Some(socket) = self.socket_of(at, conn) {
                    self.sockets[socket.0].paused = true;
                }
            }
            Output::Resume { conn } => {
                if let Some(socket) = self.socket_of(at, conn) {
                    self.sockets[socket.0].paused = false;
                    self.feed(socket);
                }
            }
            Output::Log(_) => {}
        }
    }

    /// Offers what a client has sent until the worker wants no more of it.
    fn feed(&mut self, id: SocketId) {
        loop {
            let socket = &mut self.sockets[id.0];
            let (at, Some(conn)) = (socket.worker, socket.conn) else { return };
            if socket.paused {
                return;
            }
            let received = self.workers[at].receive(self.now, conn, &socket.inbound);
            socket.inbound.drain(..received.consumed);
            match received.then {
                Then::Continue if received.consumed == 0 || socket.inbound.is_empty() => break self.turn(at),
                Then::Continue => {}
                Then::Pause => {
                    socket.paused = true;
                    break self.turn(at);
                }
                Then::HandOver(worker) => {
                    socket.conn = None;
                    let queue = self.queue(at, worker.index());
                    self.mail[queue].push_back(Mail::Accept(id));
                    break self.turn(at);
                }
                Then::Proxy(node) => panic!("there is no node {node}"),
                Then::Close => {
                    self.flush(at, conn);
                    self.end(at, conn, ClosedBy::Broker);
                    break self.turn(at);
                }
            }
        }
    }

    fn accept(&mut self, at: usize, id: SocketId) {
        if self.sockets[id.0].hung_up {
            return;
        }
        let conn = self.workers[at].open(self.now, opened());
        (self.sockets[id.0].worker, self.sockets[id.0].conn) = (at, Some(conn));
        self.feed(id);
    }

    fn flush(&mut self, at: usize, conn: ConnId) {
        let socket = self.socket_of(at, conn);
        let blocked = socket.is_none_or(|id| self.sockets[id.0].blocked);
        if let (Some(id), false) = (socket, blocked) {
            while let Some(outbox) = self.workers[at].outbox(conn).filter(|outbox| !outbox.is_empty()) {
                let mut slices = [IoSlice::new(&[]); 8];
                let filled = outbox.fill(&mut slices);
                let bytes: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
                outbox.advance(bytes.len());
                self.sockets[id.0].outbound.extend_from_slice(&bytes);
            }
        }
        let flush = if blocked { Flush::Blocked } else { Flush::Done };
        self.workers[at].flushed(self.now, conn, flush);
    }

    fn end(&mut self, at: usize, conn: ConnId, by: ClosedBy) {
        if let Some(id) = self.socket_of(at, conn) {
            (self.sockets[id.0].conn, self.sockets[id.0].ended) = (None, true);
        }
        self.workers[at].closed(self.now, conn, by);
    }

    fn socket_of(&self, at: usize, conn: ConnId) -> Option<SocketId> {
        self.sockets.iter().position(|socket| socket.worker == at && socket.conn == Some(conn)).map(SocketId)
    }

    /// Where frames of one worker for another wait. Its remainder by the number of workers is the receiver.
    fn queue(&self, from: usize, to: usize) -> usize {
        from * self.workers.len() + to
    }

    /// Where answers of the store and verdicts for a worker wait.
    fn own_queue(&self, worker: usize) -> usize {
        self.queue(self.workers.len(), worker)
    }
}

fn opened() -> Opened {
    Opened { listener: 0, peer: None, transport: Transport::Tcp, certificate: None, via: None }
}

/// A worker takes what a disk gives back, in the order of the keys; if it refuses nothing, it serves.
pub(crate) fn restore(values: Vec<(sluice_dataplane_core::Key, bytes::Bytes)>) {
    let settings = Arc::new(Settings { shards: 1, ..Settings::default() });
    let now = Now { mono_ms: 1_000, wall_ms: 1_700_000_000_000 };
    let mut worker = Worker::new(WorkerId(0), 1, settings, Arc::new(Rules::allow_all()), 1);
    for (key, value) in values {
        if let Err(error) = worker.restore(key, value) {
            assert!(!error.to_string().is_empty());
            return;
        }
    }
    worker.restored(now);
    worker.tick(Now { mono_ms: 100_000, wall_ms: now.wall_ms + 99_000 });
    while worker.poll_output().is_some() {}
}
