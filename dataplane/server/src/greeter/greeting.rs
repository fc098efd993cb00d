//! One connection's greeting.
//!
//! ```text
//! Proxy ──header──► Tls ──handshake──► Upgrade ──101──► done
//!   └──────┬─────────┴────────┬──────────┘
//!          failed ──alert or HTTP error──► LastWords ──client closes, or deadline──► over
//! ```
//! Stages that a listener does not ask for are passed through.

use std::{borrow::Cow, io, net::SocketAddr, sync::Arc};

use mio::{Registry, Token};
use sluice_dataplane_core::Certificate;

use super::Manners;
use crate::{
    listener::Seat,
    proxy_protocol::{self, Expect, Start},
    stats::GreetingFailed,
    transport::{Next, Read, Scratch, TlsSession, Transport, Wire, WsSession},
    ws::{Answer, Handshake, handshake},
};

/// A connection that does not speak MQTT yet.
pub(super) struct Greeting {
    /// Index of the listener.
    pub(super) listener: u16,
    /// The client: the other side of the socket, then whom the PROXY header names.
    pub(super) peer: Option<SocketAddr>,
    wire: Wire,
    seat: Seat,
    tls: Option<Box<TlsSession>>,
    /// What the client showed in its handshake.
    certificate: Option<Arc<Certificate>>,
    stage: Stage,
    /// Bytes for the present stage that came and were not used: before TLS as they are, behind it decrypted.
    bytes: Vec<u8>,
    /// Anything at all came.
    spoke: bool,
    hung_up: bool,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Proxy,
    Tls,
    Upgrade(Handshake),
    /// WebSocket begins.
    Upgraded,
    /// The client was told why it is not taken.
    LastWords,
}

/// How far a greeting got.
pub(super) enum Progress {
    /// More bytes are needed.
    Waits,
    /// MQTT may begin: [`Greeting::finish`].
    Done,
    /// The connection is not taken.
    Failed(GreetingFailed, Cow<'static, str>),
    /// Nothing is left to do.
    Over,
}

impl Greeting {
    /// A connection that was just accepted.
    pub(super) fn new(wire: Wire, seat: Seat, listener: u16, peer: Option<SocketAddr>) -> Self {
        let (stage, bytes) = (Stage::Proxy, Vec::new());
        Self { listener, peer, wire, seat, tls: None, certificate: None, stage, bytes, spoke: false, hung_up: false }
    }

    /// Asks for readiness events.
    ///
    /// # Errors
    /// The kernel refused.
    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.wire.register(registry, token)
    }

    /// Whether the client was told something on failing that it should be able to read.
    pub(super) fn has_last_words(&self) -> bool {
        matches!(self.stage, Stage::LastWords)
    }

    /// Reads what there is and goes as far as it reaches.
    pub(super) fn advance(&mut self, manners: &Manners, scratch: &mut Scratch) -> Progress {
        loop {
            match self.pass(manners) {
                Progress::Waits => {}
                Progress::Failed(cause, why) => return self.fail(cause, why),
                progress @ (Progress::Done | Progress::Over) => return progress,
            }
            let read = self.read(scratch);
            self.spoke |= read.bytes > 0 || self.tls.as_ref().is_some_and(|tls| tls.has_heard());
            if matches!(self.stage, Stage::LastWords) {
                match read.next {
                    Next::Closed(_) => return Progress::Over,
                    Next::Drained if read.bytes == 0 => return Progress::Waits,
                    Next::More | Next::Drained => continue,
                }
            }
            self.bytes.extend_from_slice(&scratch.plain[..read.bytes]);
            if let Some(failed) = self.tls_failure() {
                return self.fail(GreetingFailed::Tls, failed);
            }
            self.hung_up |= matches!(read.next, Next::Closed(_));
            match read.bytes {
                0 if self.hung_up => return self.fail_gone(),
                0 if read.next == Next::Drained && !self.tls_is_ready() => return Progress::Waits,
                _ => {}
            }
        }
    }

    /// Goes through the stages with the bytes there are.
    fn pass(&mut self, manners: &Manners) -> Progress {
        loop {
            let passed = match &mut self.stage {
                Stage::Proxy => self.pass_proxy(manners),
                Stage::Tls => self.pass_tls(manners),
                Stage::Upgrade(handshake) => {
                    let mut handshake = *handshake;
                    let answer = match &manners.ws {
                        Some(policy) => handshake.advance(&self.bytes, policy),
                        None => return Progress::Done,
                    };
                    self.stage = Stage::Upgrade(handshake);
                    return self.answer_upgrade(answer);
                }
                Stage::Upgraded => return Progress::Done,
                Stage::LastWords => return Progress::Waits,
            };
            if let Some(progress) = passed {
                return progress;
            }
        }
    }

    /// `None` when the stage is passed.
    fn pass_proxy(&mut self, manners: &Manners) -> Option<Progress> {
        let trusted = self.peer.is_none_or(|peer| (manners.trusts)(peer.ip()));
        match (manners.proxy, trusted) {
            (Expect::Off, _) | (Expect::Optional, false) => {
                self.stage = Stage::Tls;
                return None;
            }
            (Expect::Required, false) => {
                let why = "this listener takes PROXY connections, and this address is not among its trusted_cidrs";
                return Some(Progress::Failed(GreetingFailed::Proxy, why.into()));
            }
            (Expect::Required | Expect::Optional, true) => {}
        }
        match proxy_protocol::parse(&self.bytes) {
            Ok(Start::More) => return Some(Progress::Waits),
            Ok(Start::Absent) if manners.proxy == Expect::Required => {
                let got = proxy_protocol::describe(&self.bytes);
                let why = format!("this listener expects the PROXY protocol but got {got}");
                return Some(Progress::Failed(GreetingFailed::Proxy, why.into()));
            }
            Ok(Start::Absent) => {}
            Ok(Start::Header { consumed, client }) => {
                self.bytes.drain(..consumed);
                self.peer = client.or(self.peer);
            }
            Err(error) => return Some(Progress::Failed(GreetingFailed::Proxy, error.to_string().into())),
        }
        self.stage = Stage::Tls;
        None
    }

    /// `None` when the stage is passed.
    fn pass_tls(&mut self, manners: &Manners) -> Option<Progress> {
        let Some(context) = &manners.tls else {
            self.stage = Stage::Upgrade(Handshake::default());
            return None;
        };
        match &self.tls {
            None => match TlsSession::new(context.config(), std::mem::take(&mut self.bytes)) {
                Ok(session) => self.tls = Some(Box::new(session)),
                Err(error) => return Some(Progress::Failed(GreetingFailed::Tls, error.to_string().into())),
            },
            Some(session) if !session.is_handshaking() => {
                if let [leaf, ..] = session.client_certificates() {
                    let Some(authority) = context.trusted().authority_of(session.client_certificates()) else {
                        let why = "the authority of its certificate was removed meanwhile";
                        return Some(Progress::Failed(GreetingFailed::Tls, why.into()));
                    };
                    self.certificate = Some(Arc::new(Certificate { der: leaf.as_ref().into(), authority }));
                }
                self.stage = Stage::Upgrade(Handshake::default());
                return None;
            }
            Some(_) => {}
        }
        Some(Progress::Waits)
    }

    /// Does what the WebSocket handshake says. The response goes out with the session it begins, or as last words.
    fn answer_upgrade(&mut self, answer: Answer) -> Progress {
        match answer {
            Answer::More => Progress::Waits,
            Answer::Upgrade { consumed, response } => {
                self.bytes.drain(..consumed);
                match self.say(response) {
                    Ok(()) => {
                        self.stage = Stage::Upgraded;
                        Progress::Done
                    }
                    Err(_) => Progress::Failed(GreetingFailed::Gone, "the client is gone".into()),
                }
            }
            Answer::Refuse { status, why, response } => {
                // The client may be gone; then nobody needs to be told.
                let _ = self.say(response);
                Progress::Failed(GreetingFailed::WebSocket, format!("HTTP {status}, {why}").into())
            }
        }
    }

    /// Writes through TLS where there is one. The socket of a client that has just sent a request has room for an
    /// answer; one that has none is not worth waiting for.
    fn say(&mut self, response: Vec<u8>) -> io::Result<()> {
        match &mut self.tls {
            None => match self.wire.write(&response)? {
                written if written == response.len() => Ok(()),
                _ => Err(io::ErrorKind::WouldBlock.into()),
            },
            Some(tls) => {
                let mut rest = Some(response);
                tls.write(&self.wire, &mut Vec::new(), |seal| match rest.take() {
                    Some(response) => seal(&response).map(|()| true),
                    None => Ok(false),
                })
                .map(drop)
            }
        }
    }

    fn read(&mut self, scratch: &mut Scratch) -> Read {
        match &mut self.tls {
            None => self.wire.read(&mut scratch.plain),
            Some(tls) => {
                let read = tls.read_into(&self.wire, scratch);
                if tls.wants_write() {
                    // Handshake flights fit a socket's buffer; what does not is tried again with the next bytes.
                    let _ = tls.write(&self.wire, &mut Vec::new(), |_| Ok(false));
                }
                read
            }
        }
    }

    fn tls_is_ready(&self) -> bool {
        matches!(self.stage, Stage::Tls) && self.tls.as_ref().is_some_and(|tls| !tls.is_handshaking())
    }

    fn tls_failure(&self) -> Option<Cow<'static, str>> {
        self.tls.as_ref()?.failure().map(|error| error.to_string().into())
    }

    fn fail_gone(&mut self) -> Progress {
        match self.spoke {
            false => Progress::Failed(GreetingFailed::Empty, "closed without a byte".into()),
            true => Progress::Failed(GreetingFailed::Gone, "the client closed during the greeting".into()),
        }
    }

    /// Ends with an alert or HTTP error under way, which a close with unread bytes would overtake.
    fn fail(&mut self, cause: GreetingFailed, why: Cow<'static, str>) -> Progress {
        if matches!(cause, GreetingFailed::Tls | GreetingFailed::WebSocket) && !self.hung_up {
            self.stage = Stage::LastWords;
            self.bytes = Vec::new();
            self.wire.shutdown_write();
        }
        Progress::Failed(cause, why)
    }

    /// What to say of a greeting that takes too long; `None` for one that had failed before. A slow request for a
    /// WebSocket is told so.
    pub(super) fn too_late(&mut self) -> Option<(GreetingFailed, &'static str)> {
        match self.stage {
            Stage::LastWords => return None,
            Stage::Upgrade(_) if self.spoke => drop(self.say(handshake::too_slow())),
            Stage::Proxy | Stage::Tls | Stage::Upgrade(_) | Stage::Upgraded => {}
        }
        Some((GreetingFailed::Deadline, "the greeting was not done in time"))
    }

    /// The connection as a worker takes it: the transport, MQTT bytes that came already, the client's certificate.
    /// `None` when it ended meanwhile.
    pub(super) fn finish(
        mut self,
        registry: &Registry,
        now_ms: u64,
    ) -> Option<(Transport, Vec<u8>, Option<Arc<Certificate>>)> {
        self.wire.deregister(registry).ok()?;
        let ws = matches!(self.stage, Stage::Upgraded).then(|| Box::new(WsSession::new()));
        let mut transport = Transport::new(self.wire, self.tls, ws, self.seat);
        let mqtt = transport.unwrap_early(now_ms, &mut self.bytes)?;
        self.bytes.truncate(mqtt);
        Some((transport, self.bytes, self.certificate))
    }
}
