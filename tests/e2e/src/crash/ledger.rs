//! What all clients of a run share: what was published and acknowledged when, and what went wrong.

use std::{
    fmt::Write as _,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use super::{
    account::Violation,
    message::{Message, Stream},
};

/// The books of a run.
#[derive(Debug)]
pub(super) struct Ledger {
    started: Instant,
    streams: Vec<Mutex<Vec<Fate>>>,
    kills_ms: Mutex<Vec<u64>>,
    failure: Mutex<Option<String>>,
    failed: AtomicBool,
    /// Deliveries for the first time.
    pub(super) delivered: AtomicU64,
    /// Deliveries that came again, as they may.
    pub(super) redelivered: AtomicU64,
}

/// What became of a message, in ms since the start.
#[derive(Clone, Copy, Debug)]
struct Fate {
    sent_ms: u64,
    acknowledged_ms: Option<u64>,
    completed_ms: Option<u64>,
}

impl Ledger {
    /// Empty books.
    #[must_use]
    pub(super) fn new(publishers: u8) -> Self {
        Self {
            started: Instant::now(),
            streams: Stream::all(publishers).map(|_| Mutex::default()).collect(),
            kills_ms: Mutex::default(),
            failure: Mutex::default(),
            failed: AtomicBool::new(false),
            delivered: AtomicU64::new(0),
            redelivered: AtomicU64::new(0),
        }
    }

    /// Milliseconds since the start.
    #[must_use]
    pub(super) fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    fn fates(&self, stream: Stream) -> std::sync::MutexGuard<'_, Vec<Fate>> {
        self.streams[stream.index()].lock().expect("a stream")
    }

    /// A new message of the stream, to be sent at once.
    pub(super) fn publish(&self, stream: Stream) -> Message {
        let sent_ms = self.now_ms();
        let mut fates = self.fates(stream);
        fates.push(Fate { sent_ms, acknowledged_ms: None, completed_ms: None });
        Message { stream, number: fates.len() as u64 - 1, copy: 0 }
    }

    /// PUBACK or PUBREC came.
    pub(super) fn on_acknowledged(&self, message: Message) {
        let now_ms = self.now_ms();
        self.fates(message.stream)[message.number as usize].acknowledged_ms.get_or_insert(now_ms);
    }

    /// PUBCOMP came.
    pub(super) fn on_completed(&self, message: Message) {
        let now_ms = self.now_ms();
        self.fates(message.stream)[message.number as usize].completed_ms.get_or_insert(now_ms);
    }

    /// Messages of a stream that were published.
    #[must_use]
    pub(super) fn published(&self, stream: Stream) -> u64 {
        self.fates(stream).len() as u64
    }

    /// Messages of all streams that were acknowledged.
    #[must_use]
    pub(super) fn acknowledged(&self) -> u64 {
        let of = |fates: &Mutex<Vec<Fate>>| {
            fates.lock().expect("a stream").iter().filter(|fate| fate.acknowledged_ms.is_some()).count() as u64
        };
        self.streams.iter().map(of).sum()
    }

    /// The node was killed.
    pub(super) fn on_kill(&self) {
        let now_ms = self.now_ms();
        self.kills_ms.lock().expect("kills").push(now_ms);
    }

    /// How often the node was killed.
    #[must_use]
    pub(super) fn kills(&self) -> usize {
        self.kills_ms.lock().expect("kills").len()
    }

    /// Something went wrong; the first such thing is kept, with `context` and what became of the message.
    pub(super) fn fail(&self, who: &str, violation: &Violation, context: &str) {
        let mut failure = self.failure.lock().expect("a failure");
        if failure.is_none() {
            *failure = Some(self.describe(who, violation, context));
        }
        self.failed.store(true, Ordering::Release);
    }

    /// Whether something went wrong.
    #[must_use]
    pub(super) fn failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// What went wrong.
    #[must_use]
    pub(super) fn failure(&self) -> Option<String> {
        self.failure.lock().expect("a failure").clone()
    }

    fn describe(&self, who: &str, violation: &Violation, context: &str) -> String {
        let mut text = format!("{who}, at {} ms: {violation}\n", self.now_ms());
        for message in messages_of(violation) {
            let fates = self.fates(message.stream);
            let _ = match fates.get(message.number as usize) {
                Some(fate) => writeln!(
                    text,
                    "  {message}: first sent at {} ms, acknowledged {}, completed {} ({} published there)",
                    fate.sent_ms,
                    moment(fate.acknowledged_ms),
                    moment(fate.completed_ms),
                    fates.len()
                ),
                None => writeln!(text, "  {message}: never published ({} published there)", fates.len()),
            };
        }
        let kills = self.kills_ms.lock().expect("kills");
        let _ = writeln!(text, "  kills at ms: {:?}", &kills[kills.len().saturating_sub(12)..]);
        text + context
    }
}

fn moment(at_ms: Option<u64>) -> String {
    at_ms.map_or_else(|| "never".to_owned(), |ms| format!("at {ms} ms"))
}

fn messages_of(violation: &Violation) -> Vec<Message> {
    match violation {
        Violation::Lost { missing, instead } => std::iter::once(*missing).chain(*instead).collect(),
        Violation::NotAgain { missing, instead } => vec![*missing, *instead],
        Violation::PacketIdInUse { message, before, .. } => vec![*message, *before],
        Violation::Doubled(message)
        | Violation::TwiceOnOneConnection(message)
        | Violation::OtherPacketId { message, .. }
        | Violation::WithoutDup(message) => vec![*message],
        Violation::SessionLost
        | Violation::Foreign(_)
        | Violation::Refused(_)
        | Violation::RetainedLost(_)
        | Violation::Stopped(_)
        | Violation::Stuck(_) => Vec::new(),
    }
}
