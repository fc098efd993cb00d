//! The threads that check credentials, so that hashing a password stops no worker.
//!
//! All questions about one connection go to the same thread, in order: the end of an exchange never overtakes its start.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use sluice_cluster::WorkerId;
use sluice_dataplane_auth::{self as auth, Authenticator, Credentials, Identity};
use sluice_dataplane_core::{
    AuthRequest, ConnId, Input, Verdict,
    auth::{Accepted, Step},
};
use sluice_mqtt::ReasonCode;

use crate::{
    clock::Clock,
    mailbox::{Letter, Mailbox},
};

/// Takes questions; cheap to clone.
#[derive(Clone)]
pub(crate) struct AuthPool {
    threads: Vec<mpsc::Sender<Question>>,
    waiting: Arc<AtomicUsize>,
    workers: Arc<[Mailbox]>,
}

/// What a listener asks of clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Door {
    /// Whether clients may come in without credentials.
    pub(crate) allow_anonymous: bool,
    /// Whether the name in the certificate is the user name, whatever else is shown.
    pub(crate) identity_as_username: bool,
}

struct Question {
    worker: WorkerId,
    conn: ConnId,
    request: Box<AuthRequest>,
}

/// What a thread answers with.
struct Checker {
    authenticator: Arc<Authenticator>,
    /// By listener: what it asks of clients.
    doors: Arc<[Door]>,
    workers: Arc<[Mailbox]>,
    clock: Clock,
}

impl AuthPool {
    /// Starts `threads` of them. They end when the last pool handle is gone.
    ///
    /// # Errors
    /// No thread can be started.
    pub(crate) fn start(
        threads: usize,
        authenticator: &Arc<Authenticator>,
        doors: &Arc<[Door]>,
        workers: &Arc<[Mailbox]>,
        clock: Clock,
    ) -> io::Result<Self> {
        let waiting = Arc::new(AtomicUsize::new(0));
        let start = |_| {
            let (sender, questions) = mpsc::channel::<Question>();
            let waiting = Arc::clone(&waiting);
            let checker = Checker {
                authenticator: Arc::clone(authenticator),
                doors: Arc::clone(doors),
                workers: Arc::clone(workers),
                clock,
            };
            thread::Builder::new().name("auth".into()).spawn(move || {
                for question in questions {
                    waiting.fetch_sub(1, Ordering::Relaxed);
                    checker.answer(&question);
                }
            })?;
            Ok(sender)
        };
        let threads = (0..threads.max(1)).map(start).collect::<io::Result<_>>()?;
        Ok(Self { threads, waiting, workers: Arc::clone(workers) })
    }

    /// Has credentials checked; the answer comes as a letter. With too many waiting the client is told to come back.
    pub(crate) fn submit(&self, worker: WorkerId, conn: ConnId, request: Box<AuthRequest>) {
        let abandoned = request.enhanced.as_ref().is_some_and(|enhanced| enhanced.step == Step::Abandoned);
        if self.waiting.load(Ordering::Relaxed) >= WAITING_MAX && !abandoned {
            let verdict = Verdict::Reject(ReasonCode::ServerBusy);
            self.workers[worker.index()].post(Letter::Input(Input::Authenticated { conn, verdict }));
            return;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let thread = conn.index as usize % self.threads.len();
        // A thread only ends with the last handle.
        let _ = self.threads[thread].send(Question { worker, conn, request });
    }
}

impl Checker {
    fn answer(&self, question: &Question) {
        let Question { worker, conn, request } = question;
        if let Some(verdict) = self.check(key_of(*worker, *conn), request) {
            let verdict = translate(verdict);
            self.workers[worker.index()].post(Letter::Input(Input::Authenticated { conn: *conn, verdict }));
        }
    }

    /// The verdict; none when there is nothing to answer.
    fn check(&self, connection: u64, request: &AuthRequest) -> Option<auth::Verdict> {
        let now_ms = self.clock.now().wall_ms;
        let door = self.doors.get(usize::from(request.listener)).copied().unwrap_or_default();
        let credentials = Credentials {
            client_id: &request.client_id,
            username: request.username.as_deref(),
            password: request.password.as_deref(),
            certificate: request.certificate.as_deref().map(|certificate| &*certificate.der),
            peer: request.peer.map(|peer| peer.ip()),
            allow_anonymous: door.allow_anonymous,
            identity_as_username: door.identity_as_username,
            // The core compares the principals itself.
            bound_to: None,
        };
        let Some(enhanced) = &request.enhanced else {
            return Some(self.authenticator.check(&credentials, now_ms));
        };
        match enhanced.step {
            Step::Connect | Step::Again => {
                Some(self.authenticator.begin(connection, &enhanced.method, &enhanced.data, &credentials, now_ms))
            }
            Step::Continue => Some(self.authenticator.resume(connection, &enhanced.method, &enhanced.data, now_ms)),
            Step::Abandoned => {
                self.authenticator.abandon(connection);
                None
            }
        }
    }
}

/// A number of one connection among all of a node.
fn key_of(worker: WorkerId, conn: ConnId) -> u64 {
    // 64 workers with 67 million places each.
    u64::from(worker.0) << 58 | u64::from(conn.index & 0x03FF_FFFF) << 32 | u64::from(conn.generation)
}

fn translate(verdict: auth::Verdict) -> Verdict {
    match verdict {
        auth::Verdict::Accept(identity) => Verdict::Accept(Box::new(accepted(*identity))),
        auth::Verdict::Continue(data) => Verdict::Continue(data.into()),
        auth::Verdict::Reject(refusal) => {
            Verdict::Reject(ReasonCode::from_u8(refusal.reason_code()).unwrap_or(ReasonCode::NotAuthorized))
        }
    }
}

fn accepted(identity: Identity) -> Accepted {
    let Identity { username, groups, superuser, expires_at_ms, scope, data, grounds, client_id_prefix: _, method: _ } =
        identity;
    Accepted { username, groups, superuser, expires_wall_ms: expires_at_ms, data: data.map(Into::into), scope, grounds }
}

/// At ten milliseconds a password, two threads need 40 seconds for as many: four times the connect deadline.
const WAITING_MAX: usize = 8192;
