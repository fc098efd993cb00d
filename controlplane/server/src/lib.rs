//! Control's services for nodes: the push stream, joining, and the certificate authority behind both.
//!
//! * [`Push`]: a task for each node's stream around `sluice_discovery::ServerStream`. What happens there goes as
//!   [`Event`]s to whoever decides, who answers with [`Tables`].
//! * [`Join`]: a token once, a certificate in return; and its renewal.
//! * [`Authority`]: signs certificates of nodes and of control itself. Where its key is kept is behind [`AuthorityStore`].
//! * [`serve`]: one listener with TLS for both.
//!
//! Nothing here decides: whether a node may be a member, what it is to hold, and who leads is told from outside.

mod access;
mod authority;
pub mod config;
mod control;
mod http;
mod join;
mod metrics;
mod push;
mod serve;
mod token;

pub use access::{Access, Caller, Role, TokenRow};
pub use authority::{
    Authority, AuthorityError, AuthorityRecord, AuthorityStore, CERTIFICATE_LIFETIME_DEFAULT, CERTIFICATE_LIFETIME_MIN,
    FileAuthority, MemoryAuthority,
};
pub use control::{ControlServer, Desk, Handle, JoinTokens, StartError, Stopping};
pub use http::{Api, openapi_document};
pub use join::{Admission, Join, RedeemError, Redemption};
pub use push::{Event, NodeStatus, Push, PushSettings, Refused, StreamId, Tables};
pub use serve::{ServeSettings, serve};
pub use token::{SECRET_BYTES, Token, TokenDigest};
