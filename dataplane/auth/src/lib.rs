//! Credential sources: who a client is.
//!
//! A [`Chain`] is an ordered list of steps built from files: client certificates, a password file (argon2id hashes and
//! SCRAM-SHA-256 verifiers) and JSON Web Tokens. Each step accepts the credentials, rejects them, or finds none of its
//! kind and leaves them to the next. A rejection is final, and what no step accepts is refused: no failure of any step,
//! key or file lets a client in.
//!
//! [`Authenticator`] is what a node holds: the chain in force, replaced as a whole when files change, the exchanges of
//! enhanced authentication that are under way, and the [`Backoff`] that slows guessing. Checking a password takes
//! milliseconds by design, so it is called from threads that serve no connection.
//!
//! Time and nonces are arguments everywhere but in [`Authenticator`], so that all decisions can be replayed in tests.

mod authenticator;
mod backoff;
mod certificate;
mod chain;
pub mod config;
mod credentials;
mod decoy;
mod error;
mod file;
mod jwt;
mod name;
mod password;
mod review;
mod scram;
mod sources;

pub use authenticator::Authenticator;
pub use backoff::{Backoff, BackoffPolicy};
pub use chain::{Chain, Exchange, Progress};
pub use credentials::{Credentials, Identity, Method, Refusal, Verdict};
pub use decoy::NodeSecret;
pub use error::SourceError;
pub use password::{HashError, PasswordFile, PasswordFileError, hash_password};
pub use review::Review;
pub use scram::{METHOD as SCRAM_SHA_256, NONCE_BYTES, ScramError, ScramServer, ScramVerifier, VerifierError};
pub use sources::{Loaded, load};
