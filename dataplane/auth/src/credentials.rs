//! What a client shows, and the answer to it.

use std::{fmt, net::IpAddr, num::NonZeroU64, sync::Arc};

use sluice_dataplane_access::{Principal, Scope};

/// What a client showed in CONNECT and in its TLS handshake.
#[derive(Clone, Copy, Default)]
pub struct Credentials<'a> {
    /// The client id, an assigned one where the client sent none.
    pub client_id: &'a str,
    /// The user name of CONNECT: a claim, until a step has checked it.
    pub username: Option<&'a str>,
    /// The password of CONNECT.
    pub password: Option<&'a [u8]>,
    /// DER of the client's certificate, whose chain TLS has verified.
    pub certificate: Option<&'a [u8]>,
    /// Where the connection comes from, behind any PROXY header.
    pub peer: Option<IpAddr>,
    /// Whether the listener takes clients that show nothing.
    pub allow_anonymous: bool,
    /// Whether the name in the certificate is the user name, whatever else is shown.
    pub identity_as_username: bool,
    /// When a connected client authenticates again, who it is: anybody else is refused.
    pub bound_to: Option<&'a str>,
}

impl fmt::Debug for Credentials<'_> {
    /// Leaves out what is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("client_id", &self.client_id)
            .field("username", &self.username)
            .field("peer", &self.peer)
            .field("allow_anonymous", &self.allow_anonymous)
            .field("bound_to", &self.bound_to)
            .finish_non_exhaustive()
    }
}

/// The answer to credentials.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The client is this.
    Accept(Box<Identity>),
    /// Enhanced authentication goes on: send this data in an AUTH packet, and ask again with what comes back.
    Continue(Vec<u8>),
    /// The client is refused.
    Reject(Refusal),
}

/// Who a client turned out to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The authenticated user name; `None` = anonymous.
    pub username: Option<Arc<str>>,
    /// The groups that access rules may name.
    pub groups: Vec<Arc<str>>,
    /// Whether access rules are skipped.
    pub superuser: bool,
    /// When the right to be connected ends, in milliseconds since the Unix epoch.
    pub expires_at_ms: Option<u64>,
    /// Topics that the credentials themselves name, on top of access rules.
    pub scope: Option<Arc<Scope>>,
    /// What its client ids must begin with. Checked already; told so that others can be kept off them.
    pub client_id_prefix: Option<Arc<str>>,
    /// The last data of enhanced authentication, which goes out in CONNACK or AUTH.
    pub data: Option<Vec<u8>>,
    /// Tells which line or key it was accepted on, for [`crate::Chain::review`]; `None` where no such file says so.
    pub grounds: Option<NonZeroU64>,
    /// How it was found out.
    pub method: Method,
}

impl Identity {
    /// A user known by `method`, without groups or other rights.
    pub(crate) fn user(username: &str, method: Method) -> Self {
        Self { username: Some(username.into()), ..Self::anonymous(method) }
    }

    pub(crate) fn anonymous(method: Method) -> Self {
        Self {
            username: None,
            groups: Vec::new(),
            superuser: false,
            expires_at_ms: None,
            scope: None,
            client_id_prefix: None,
            data: None,
            grounds: None,
            method,
        }
    }

    /// The client as access rules see it.
    pub fn principal(&self, client_id: Arc<str>) -> Principal {
        Principal::new(client_id)
            .with_username(self.username.clone())
            .with_groups(self.groups.clone())
            .with_superuser(self.superuser)
            .with_scope(self.scope.clone())
    }
}

/// How an identity was found out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// Nothing was shown, and the listener takes that.
    Anonymous,
    /// User name and password.
    Password,
    /// A JSON Web Token.
    Jwt,
    /// The TLS client certificate.
    Certificate,
    /// SCRAM-SHA-256.
    Scram,
}

/// Why a client is refused. The client is told no more than [`Refusal::reason_code`]; the rest is for logs and counters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// Nothing was shown that a step takes, and the listener wants something.
    #[error("no credentials")]
    Missing,
    /// Unknown user, wrong password, bad token, bad proof.
    #[error("bad credentials")]
    Bad,
    /// A token or certificate that is genuine but past its time, or not yet in it.
    #[error("expired credentials")]
    Expired,
    /// These credentials may not use this client id.
    #[error("client id belongs to other credentials")]
    ClientId,
    /// The user name that the connection has may not be changed by authenticating again.
    #[error("another identity than the connection's")]
    OtherIdentity,
    /// Enhanced authentication by a method that no step serves.
    #[error("unknown authentication method")]
    Method,
    /// Too many failures from there for that user; not looked at.
    #[error("too many failures, refused unseen")]
    Backoff,
    /// Too many exchanges are under way.
    #[error("too many authentications at once")]
    Busy,
}

impl Refusal {
    /// The MQTT 5 reason code. All failures that depend on what is stored share 0x86, so that none tells who exists.
    pub fn reason_code(self) -> u8 {
        match self {
            Self::Missing | Self::OtherIdentity => 0x87,
            Self::Bad | Self::Expired | Self::Backoff => 0x86,
            Self::ClientId => 0x85,
            Self::Method => 0x8C,
            Self::Busy => 0x89,
        }
    }
}
