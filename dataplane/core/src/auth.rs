//! The question a CONNECT raises, and the answers to it.

use std::{fmt, net::SocketAddr, num::NonZeroU64, sync::Arc};

use sluice_dataplane_access::Scope;
use sluice_mqtt::ReasonCode;

use crate::Certificate;

/// What a client showed. Checked off the worker: hashing a password takes milliseconds.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthRequest {
    /// Index into [`crate::Settings::listeners`].
    pub listener: u16,
    /// The client's address.
    pub peer: Option<SocketAddr>,
    /// The client id (an assigned one where the client sent none).
    pub client_id: Arc<str>,
    /// The user name.
    pub username: Option<Box<str>>,
    /// The password; never logged.
    pub password: Option<Box<[u8]>>,
    /// The client's verified certificate.
    pub certificate: Option<Arc<Certificate>>,
    /// The method and data of enhanced authentication (version 5).
    pub enhanced: Option<Enhanced>,
}

impl fmt::Debug for AuthRequest {
    /// Leaves out what is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthRequest")
            .field("client_id", &self.client_id)
            .field("username", &self.username)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

/// One step of enhanced authentication.
#[derive(Clone, PartialEq, Eq)]
pub struct Enhanced {
    /// Authentication Method.
    pub method: Box<str>,
    /// Authentication Data.
    pub data: Box<[u8]>,
    /// Which step of which exchange.
    pub step: Step,
}

/// Where an exchange stands. The checker keeps an exchange by connection until it answers other than `Continue`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// The data came with CONNECT.
    Connect,
    /// The data came with AUTH 0x18 in an exchange that is under way.
    Continue,
    /// The data came with AUTH 0x19: the client authenticates again; the principal must stay the same.
    Again,
    /// The connection is gone; forget the exchange. Never answered.
    Abandoned,
}

/// The checker's answer.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// The client is who it says.
    Accept(Box<Accepted>),
    /// Send this data in AUTH 0x18 and ask again with what comes back.
    Continue(Box<[u8]>),
    /// Refuse with this reason: 0x86, 0x87, 0x8C, 0x9F, …
    Reject(ReasonCode),
}

/// What an accepted client is.
#[derive(Clone, Debug, Default)]
pub struct Accepted {
    /// The authenticated user name: from the password file, a token's claim or a certificate.
    pub username: Option<Arc<str>>,
    /// Groups, for access rules.
    pub groups: Vec<Arc<str>>,
    /// Whether access rules are skipped.
    pub superuser: bool,
    /// When the right to be connected ends (a token's `exp`), in milliseconds since the Unix epoch.
    pub expires_wall_ms: Option<u64>,
    /// Last data of an enhanced exchange, sent in CONNACK or AUTH 0x00.
    pub data: Option<Box<[u8]>>,
    /// Topics that the credentials themselves are limited to, on top of the access rules.
    pub scope: Option<Arc<Scope>>,
    /// What in the files of credentials the client was accepted on. Means something to [`Standing`] only.
    pub grounds: Option<NonZeroU64>,
}

/// What is in force of the files of credentials: connected clients are held against it when it has changed. Immutable,
/// and answers from memory.
pub trait Standing: fmt::Debug + Send + Sync {
    /// Whether a client would be accepted still.
    fn review(&self, live: &Live<'_>) -> Review;
}

/// A connected client, as far as it can be reviewed without its credentials.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Live<'a> {
    /// Index into [`crate::Settings::listeners`].
    pub listener: u16,
    /// Its client id.
    pub client_id: &'a str,
    /// Its authenticated user name.
    pub username: Option<&'a str>,
    /// [`Accepted::grounds`].
    pub grounds: Option<NonZeroU64>,
    /// The certificate it showed.
    pub certificate: Option<&'a Certificate>,
}

/// The outcome of a review.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Review {
    /// Nothing has changed for it.
    Stands,
    /// It stays, with these rights in place of those it had.
    Renewed {
        /// Groups, for access rules.
        groups: Vec<Arc<str>>,
        /// Whether access rules are skipped.
        superuser: bool,
    },
    /// What it was accepted on is gone.
    Gone,
}
