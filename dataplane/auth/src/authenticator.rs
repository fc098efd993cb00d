//! What a node holds to authenticate its clients.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use ring::rand::{SecureRandom, SystemRandom};

use crate::{Backoff, BackoffPolicy, Chain, Credentials, Exchange, Progress, Refusal, Verdict, scram::NONCE_BYTES};

/// The chain in force, the exchanges under way and the memory of failures. Shared by all threads that check credentials;
/// no lock is held while a password is hashed.
#[derive(Debug)]
pub struct Authenticator {
    chain: RwLock<Arc<Chain>>,
    backoff: Mutex<Backoff>,
    exchanges: Mutex<HashMap<u64, Box<Pending>>>,
    random: SystemRandom,
}

/// An exchange and what it was begun with.
#[derive(Debug)]
struct Pending {
    exchange: Exchange,
    peer: Option<std::net::IpAddr>,
    method: Box<str>,
}

impl Authenticator {
    /// With a first chain. Fails only where the system has no random numbers.
    pub fn new(chain: Arc<Chain>, policy: BackoffPolicy) -> Result<Self, std::io::Error> {
        let random = SystemRandom::new();
        let mut seed = [0; 32];
        random.fill(&mut seed).map_err(|_| std::io::Error::other("the system has no random numbers"))?;
        let backoff = Mutex::new(Backoff::new(policy, &seed));
        Ok(Self { chain: RwLock::new(chain), backoff, exchanges: Mutex::default(), random })
    }

    /// Puts a new chain in force for all checks that begin from here on. Exchanges under way end with the old one.
    pub fn replace(&self, chain: Arc<Chain>) {
        *self.chain.write().unwrap_or_else(PoisonError::into_inner) = chain;
    }

    /// The chain in force.
    pub fn chain(&self) -> Arc<Chain> {
        Arc::clone(&self.chain.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Decides on a client without enhanced authentication. Blocks for as long as a password takes to hash.
    ///
    /// `now_ms` is the wall clock in milliseconds since the Unix epoch.
    pub fn check(&self, credentials: &Credentials<'_>, now_ms: u64) -> Verdict {
        let username = credentials.username.unwrap_or_default();
        if self.backoff().is_blocked(credentials.peer, username, now_ms) {
            return Verdict::Reject(Refusal::Backoff);
        }
        let verdict = self.chain().check(credentials, now_ms);
        self.remember(&verdict, credentials.peer, username, now_ms);
        verdict
    }

    /// Begins enhanced authentication on a connection, in place of any that was under way there. `connection` is unique
    /// among the node's connections. Used for CONNECT and for re-authentication.
    pub fn begin(
        &self,
        connection: u64,
        method: &str,
        data: &[u8],
        credentials: &Credentials<'_>,
        now_ms: u64,
    ) -> Verdict {
        self.abandon(connection);
        let mut nonce = [0; NONCE_BYTES];
        if self.random.fill(&mut nonce).is_err() {
            return Verdict::Reject(Refusal::Busy);
        }
        match self.chain().begin(method, data, credentials, &nonce) {
            Progress::Done(verdict) => verdict,
            Progress::Continue { data, exchange } => {
                if self.backoff().is_blocked(credentials.peer, exchange.username(), now_ms) {
                    return Verdict::Reject(Refusal::Backoff);
                }
                let pending = Pending { exchange: *exchange, peer: credentials.peer, method: method.into() };
                let mut exchanges = self.exchanges();
                if exchanges.len() >= EXCHANGES_MAX {
                    return Verdict::Reject(Refusal::Busy);
                }
                exchanges.insert(connection, Box::new(pending));
                Verdict::Continue(data)
            }
        }
    }

    /// Goes on with what the client answered. Without an exchange under way by that method the client is refused.
    pub fn resume(&self, connection: u64, method: &str, data: &[u8], now_ms: u64) -> Verdict {
        let Some(pending) = self.exchanges().remove(&connection).filter(|pending| *pending.method == *method) else {
            return Verdict::Reject(Refusal::Bad);
        };
        let Pending { exchange, peer, .. } = *pending;
        let username = exchange.username().to_owned();
        let verdict = exchange.finish(data);
        self.remember(&verdict, peer, &username, now_ms);
        verdict
    }

    /// Forgets the exchange of a connection that has ended. Must be called for each, or the exchange stays.
    pub fn abandon(&self, connection: u64) {
        self.exchanges().remove(&connection);
    }

    fn remember(&self, verdict: &Verdict, peer: Option<std::net::IpAddr>, username: &str, now_ms: u64) {
        match verdict {
            Verdict::Accept(_) => self.backoff().succeeded(peer, username),
            Verdict::Reject(Refusal::Bad) => self.backoff().failed(peer, username, now_ms),
            Verdict::Reject(_) | Verdict::Continue(_) => {}
        }
    }

    /// A panic elsewhere leaves counters, not invariants, behind these locks.
    fn backoff(&self) -> MutexGuard<'_, Backoff> {
        self.backoff.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn exchanges(&self) -> MutexGuard<'_, HashMap<u64, Box<Pending>>> {
        self.exchanges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// More than a node has descriptors for; about 1 KiB each.
const EXCHANGES_MAX: usize = 65_536;

#[cfg(test)]
mod tests;
