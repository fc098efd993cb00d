//! Who may use the HTTP interface: bearer tokens with roles. The store has their hashes; this replica keeps a copy, so that
//! operators get in while the store is away.
//!
//! A token is `slc_ID_SECRET`. Its secret has 256 bits, so that a plain hash of it cannot be turned back.

mod session;

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
};

use arc_swap::ArcSwapOption;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::{
    digest::{SHA256, digest},
    rand::{SecureRandom, SystemRandom},
};
use serde::{Deserialize, Serialize};
use sluice_controlplane_core::ledger::Revision;
use sluice_controlplane_store::{Change, MetaStore, Outcome, StoreError, Txn, WatchEvent, schema::ACCESS};
use tokio::task::AbortHandle;
use tracing::{info, warn};

pub(crate) use self::session::Sessions;
use crate::control::{LAYOUT, hex, open, seal, wall_ms};

/// What somebody may do. A higher role may do all that a lower one may.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Look.
    Viewer,
    /// Change policies and what is done with nodes.
    Operator,
    /// Let others in.
    Admin,
}

/// Who asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    /// The token's id.
    pub id: String,
    /// What the token is called.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

/// A token as it is stored and shown: without its secret.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRow {
    v: u32,
    /// What it is called.
    pub name: String,
    /// What it may do.
    pub role: Role,
    hash: String,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// Until when it lets in; for ever without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
}

impl TokenRow {
    fn is_valid(&self, now_ms: u64) -> bool {
        self.expires_ms.is_none_or(|expires| now_ms < expires)
    }

    fn caller(&self, id: &str) -> Caller {
        Caller { id: id.to_owned(), name: self.name.clone(), role: self.role }
    }
}

/// All tokens.
#[derive(Clone)]
pub struct Access {
    /// Nothing before the store was read.
    tokens: Arc<ArcSwapOption<BTreeMap<String, TokenRow>>>,
    store: Arc<dyn MetaStore>,
    _follower: Arc<Follower>,
}

/// The task that follows the store. Ends with the last of those who ask.
struct Follower(AbortHandle);

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Access {
    /// Tokens of a store, followed for as long as somebody may ask.
    #[must_use]
    pub fn follow(store: Arc<dyn MetaStore>) -> Self {
        let tokens: Arc<ArcSwapOption<BTreeMap<String, TokenRow>>> = Arc::default();
        let (mut watch, kept) = (store.watch(ACCESS, None), Arc::clone(&tokens));
        let task = tokio::spawn(async move {
            let mut held = BTreeMap::new();
            loop {
                match watch.next().await {
                    WatchEvent::Listed(listing) => {
                        held.clear();
                        let changes = listing.entries.into_iter();
                        changes
                            .for_each(|entry| take(&mut held, Change { key: entry.key.clone(), entry: Some(entry) }));
                    }
                    WatchEvent::Changed { changes, .. } => {
                        changes.into_iter().for_each(|change| take(&mut held, change))
                    }
                    WatchEvent::Interrupted { .. } | WatchEvent::Resumed { .. } => continue,
                }
                kept.store(Some(Arc::new(held.clone())));
            }
        });
        Self { tokens, store, _follower: Arc::new(Follower(task.abort_handle())) }
    }

    /// Whether the store has been read: before, nobody can be told from a stranger.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.tokens.load().is_some()
    }

    /// Who asks, by the header `Authorization`. Nothing says which part of a wrong token is wrong.
    #[must_use]
    pub fn caller(&self, authorization: Option<&str>) -> Option<Caller> {
        let (id, secret) = authorization?.strip_prefix("Bearer slc_")?.trim_end().split_once('_')?;
        let tokens = self.tokens.load();
        let row = tokens.as_ref()?.get(id)?;
        let hash = hash(secret);
        let is_same = is_equal(hash.as_bytes(), row.hash.as_bytes());
        (is_same && row.is_valid(wall_ms())).then(|| row.caller(id))
    }

    /// All tokens by id.
    #[must_use]
    pub fn tokens(&self) -> Arc<BTreeMap<String, TokenRow>> {
        self.tokens.load_full().unwrap_or_default()
    }

    /// Makes a token, which is shown once.
    ///
    /// # Errors
    /// The store does not take it.
    pub async fn create(
        &self,
        name: &str,
        role: Role,
        expires_ms: Option<u64>,
    ) -> Result<(String, String), StoreError> {
        let id = hex(&random::<8>()?);
        let text = self.store_token(&id, name, role, expires_ms, |_| Ok(())).await?;
        let text = text.ok_or_else(|| StoreError::Invalid { reason: "an id was drawn twice".into() })?;
        Ok((id, text))
    }

    /// Revokes a token. Whether there was one.
    ///
    /// # Errors
    /// The store does not take it.
    pub async fn revoke(&self, id: &str) -> Result<bool, StoreError> {
        let was = self.store.get(&key(id)).await?.is_some();
        self.store.commit(Txn::new().delete(key(id))).await?;
        Ok(was)
    }

    /// Makes the first token of a cluster, and leaves it in a file that only its owner can read. Does nothing when there
    /// was one before.
    ///
    /// # Errors
    /// The store or the file fails.
    pub async fn bootstrap(&self, file: &Path) -> io::Result<()> {
        if self.store.get(&key(BOOTSTRAP)).await.map_err(io::Error::other)?.is_some() {
            return Ok(());
        }
        // Written before it is valid: a token that nobody knows would let nobody in, for ever.
        let fresh = file.with_extension("new");
        let write = |text: &str| {
            let _ = fs::remove_file(&fresh);
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
            writeln!(file, "{text}")?;
            file.sync_all()
        };
        let made = self.store_token(BOOTSTRAP, BOOTSTRAP, Role::Admin, None, write).await.map_err(io::Error::other)?;
        if made.is_none() {
            // Another replica was first.
            return fs::remove_file(&fresh);
        }
        fs::rename(&fresh, file)?;
        info!(file = %file.display(), "the first token is in this file: whoever has it may do everything");
        Ok(())
    }

    /// Stores a token under an id that is free; `None` if it is not. `before` sees its text first.
    async fn store_token(
        &self,
        id: &str,
        name: &str,
        role: Role,
        expires_ms: Option<u64>,
        before: impl FnOnce(&str) -> io::Result<()>,
    ) -> Result<Option<String>, StoreError> {
        let secret = BASE64_URL_SAFE_NO_PAD.encode(random::<32>()?);
        let text = format!("slc_{id}_{secret}");
        before(&text).map_err(|error| StoreError::Disk { reason: error.to_string() })?;
        let row =
            TokenRow { v: LAYOUT, name: name.into(), role, hash: hash(&secret), created_ms: wall_ms(), expires_ms };
        let txn = Txn::new().expect(key(id), Revision::ABSENT).put(key(id), seal(&row));
        match self.store.commit(txn).await? {
            Outcome::Committed(_) => Ok(Some(text)),
            Outcome::Conflict { .. } => Ok(None),
        }
    }
}

fn take(held: &mut BTreeMap<String, TokenRow>, change: Change) {
    let Some(id) = change.key.strip_prefix(ACCESS).and_then(|rest| rest.strip_prefix("tokens/")) else { return };
    let row = change.entry.and_then(|entry| match open::<TokenRow>(&entry.value) {
        Ok(row) if row.v == LAYOUT => Some(row),
        Ok(row) => {
            warn!(id, layout = row.v, "a token that another version has stored lets nobody in");
            None
        }
        Err(error) => {
            warn!(id, error, "a token that cannot be read lets nobody in");
            None
        }
    });
    match row {
        Some(row) => held.insert(id.to_owned(), row),
        None => held.remove(id),
    };
}

fn key(id: &str) -> String {
    format!("{ACCESS}tokens/{id}")
}

fn hash(secret: &str) -> String {
    hex(digest(&SHA256, secret.as_bytes()).as_ref())
}

/// Compares in a time that does not depend on where two texts differ.
fn is_equal(a: &[u8], b: &[u8]) -> bool {
    let differing = a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b));
    a.len() == b.len() && differing == 0
}

fn random<const BYTES: usize>() -> Result<[u8; BYTES], StoreError> {
    let mut bytes = [0; BYTES];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| StoreError::Disk { reason: "the system gives no random numbers".into() })?;
    Ok(bytes)
}

const BOOTSTRAP: &str = "bootstrap";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use sluice_controlplane_store::Memory;

    use super::*;

    async fn seen(access: &Access, text: &str) -> Option<Caller> {
        for _ in 0..200 {
            if let Some(caller) = access.caller(Some(&format!("Bearer {text}"))) {
                return Some(caller);
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        None
    }

    #[tokio::test]
    async fn a_token_lets_in_who_has_all_of_it_until_it_is_revoked_or_expires() {
        let access = Access::follow(Arc::new(Memory::default()));
        let (id, text) = access.create("anna", Role::Operator, None).await.unwrap();
        let caller = Caller { id: id.clone(), name: "anna".into(), role: Role::Operator };
        assert_eq!(seen(&access, &text).await, Some(caller));
        let wrong = [&text[..text.len() - 1], &text.replace(&id, "bootstrap"), "slc_", "x", ""];
        assert!(wrong.iter().all(|text| access.caller(Some(&format!("Bearer {text}"))).is_none()));
        assert_eq!((access.caller(None), access.caller(Some(&text))), (None, None));
        assert!(access.revoke(&id).await.unwrap() && !access.revoke(&id).await.unwrap());
        let (_, over) = access.create("bert", Role::Viewer, Some(1)).await.unwrap();
        while access.tokens().len() != 1 || access.tokens().contains_key(&id) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert!(access.caller(Some(&format!("Bearer {over}"))).is_none());
        assert!(access.caller(Some(&format!("Bearer {text}"))).is_none());
    }

    #[tokio::test]
    async fn nobody_is_a_stranger_before_the_tokens_are_read() {
        let access = Access::follow(Arc::new(Memory::default()));
        assert!(!access.is_read(), "the task that reads has not run");
        while !access.is_read() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        assert!(access.tokens().is_empty(), "a store without tokens is read as well");
    }

    #[tokio::test]
    async fn the_first_token_is_made_once_and_only_its_owner_can_read_it() {
        let store: Arc<dyn MetaStore> = Arc::new(Memory::default());
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (dir.path().join("one"), dir.path().join("other"));
        let access = Access::follow(Arc::clone(&store));
        access.bootstrap(&one).await.unwrap();
        access.bootstrap(&other).await.unwrap();
        assert!(!other.exists() && fs::metadata(&one).unwrap().permissions().mode() & 0o777 == 0o600);
        let text = fs::read_to_string(&one).unwrap();
        assert_eq!(seen(&access, text.trim()).await.map(|caller| caller.role), Some(Role::Admin));
        let stored = store.list(ACCESS).await.unwrap().entries.remove(0).value;
        let secret = text.trim().rsplit('_').next().unwrap();
        assert!(!String::from_utf8(stored).unwrap().contains(secret), "the store has its hash alone");
    }
}
