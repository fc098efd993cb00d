//! What joining needs of the metadata store: the authority, the tokens of machines that are to become nodes.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sluice_cluster::NodeId;
use sluice_controlplane_core::{
    ledger::Revision,
    record::{Record, RecordKey},
};
use sluice_controlplane_store::{MetaStore, Outcome, StoreError, Txn, schema};

use super::driver::wall_ms;
use crate::{Admission, AuthorityError, AuthorityRecord, AuthorityStore, RedeemError, Redemption, TokenDigest};

/// The authority in the metadata store, its key included: who may read the store may be anybody in the cluster.
pub(super) struct KeptAuthority(pub(super) Arc<dyn MetaStore>);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AuthorityRow {
    v: u32,
    cluster: String,
    certificate: String,
    key: String,
}

#[tonic::async_trait]
impl AuthorityStore for KeptAuthority {
    async fn load(&self) -> Result<Option<AuthorityRecord>, AuthorityError> {
        let entry = self.0.get(&authority_key()).await.map_err(|error| AuthorityError::Store(error.to_string()))?;
        entry.map(|entry| parse_authority(&entry.value).map_err(AuthorityError::Store)).transpose()
    }

    async fn create(&self, record: AuthorityRecord) -> Result<AuthorityRecord, AuthorityError> {
        let encode = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
        let row = AuthorityRow {
            v: LAYOUT,
            cluster: record.cluster.clone(),
            certificate: encode(&record.certificate),
            key: encode(&record.key),
        };
        let key = authority_key();
        let txn = Txn::new().expect(key.clone(), Revision::ABSENT).put(key, seal(&row));
        match self.0.commit(txn).await.map_err(|error| AuthorityError::Store(error.to_string()))? {
            Outcome::Committed(_) => Ok(record),
            Outcome::Conflict { .. } => {
                self.load().await?.ok_or_else(|| AuthorityError::Store("the authority came and went".into()))
            }
        }
    }
}

/// Tokens of machines that are to become nodes.
#[derive(Clone)]
pub struct JoinTokens(pub(super) Arc<dyn MetaStore>);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenRow {
    v: u32,
    by: String,
    expires_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    redeemed: Option<RedeemedRow>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RedeemedRow {
    node: String,
    key: String,
}

impl JoinTokens {
    /// Tokens in a store.
    #[must_use]
    pub fn new(store: Arc<dyn MetaStore>) -> Self {
        Self(store)
    }

    /// Keeps a token that one machine may use until it expires.
    ///
    /// # Errors
    /// The store does not take it.
    pub async fn keep(&self, token: TokenDigest, by: &str, expires_ms: u64) -> Result<(), StoreError> {
        let row = TokenRow { v: LAYOUT, by: by.into(), expires_ms, redeemed: None };
        let key = token_key(token);
        let mut txn = Txn::new().expect(key.clone(), Revision::ABSENT).put(key, seal(&row));
        for expired in self.expired().await? {
            txn = txn.delete(expired);
        }
        match self.0.commit(txn).await? {
            Outcome::Committed(_) => Ok(()),
            Outcome::Conflict { .. } => Err(StoreError::Invalid { reason: "this token was made before".into() }),
        }
    }

    /// Some tokens that nobody can use any more.
    async fn expired(&self) -> Result<Vec<String>, StoreError> {
        let now_ms = wall_ms();
        let all = self.0.list(&tokens()).await?.entries.into_iter();
        let is_over = |value: &[u8]| open::<TokenRow>(value).is_ok_and(|row| row.expires_ms < now_ms);
        Ok(all.filter(|entry| is_over(&entry.value)).map(|entry| entry.key).take(EXPIRED_AT_ONCE).collect())
    }

    async fn try_redeem(&self, redemption: &Redemption) -> Result<Option<NodeId>, RedeemError> {
        let key = token_key(redemption.token);
        let entry = self.0.get(&key).await.map_err(unavailable)?.ok_or(RedeemError::Invalid)?;
        let row: TokenRow = open(&entry.value).map_err(RedeemError::Unavailable)?;
        if row.expires_ms / 1000 < redemption.now_s {
            return Err(RedeemError::Invalid);
        }
        let machine = hex(&redemption.key.0);
        if let Some(redeemed) = row.redeemed {
            let node = u64::from_str_radix(&redeemed.node, 16).ok().filter(|_| redeemed.key == machine);
            return node.map(|node| Some(NodeId(node))).ok_or(RedeemError::Invalid);
        }
        let redeemed = Some(RedeemedRow { node: redemption.node.to_string(), key: machine });
        let txn = Txn::new().expect(key.clone(), entry.modified).put(key, seal(&TokenRow { redeemed, ..row }));
        match self.0.commit(txn).await.map_err(unavailable)? {
            Outcome::Committed(_) => Ok(Some(redemption.node)),
            Outcome::Conflict { .. } => Ok(None),
        }
    }
}

#[tonic::async_trait]
impl Admission for JoinTokens {
    async fn redeem(&self, redemption: Redemption) -> Result<NodeId, RedeemError> {
        // Somebody else changed the token at the same moment: once more, it is used then.
        for _ in 0..TRIES_MAX {
            if let Some(node) = self.try_redeem(&redemption).await? {
                return Ok(node);
            }
        }
        Err(RedeemError::Invalid)
    }

    async fn is_member(&self, node: NodeId) -> Result<bool, RedeemError> {
        let key = RecordKey::Node(node);
        let Some(entry) = self.0.get(&schema::key(&key)).await.map_err(unavailable)? else {
            // It has joined and not registered yet.
            return Ok(true);
        };
        let record = schema::decode(&key, &entry.value).map_err(RedeemError::Unavailable)?;
        let Record::Node(record) = record else {
            return Err(RedeemError::Unavailable(format!("what stands for {node} is no node")));
        };
        Ok(!record.is_gone())
    }
}

fn parse_authority(value: &[u8]) -> Result<AuthorityRecord, String> {
    let row: AuthorityRow = open(value)?;
    let decode = |text: &str| BASE64_STANDARD.decode(text).map_err(|error| error.to_string());
    Ok(AuthorityRecord { cluster: row.cluster, certificate: decode(&row.certificate)?, key: decode(&row.key)? })
}

pub(crate) fn seal(row: &impl Serialize) -> Vec<u8> {
    // Rows have text for keys, which JSON can always hold.
    serde_json::to_vec(row).unwrap_or_else(|error| unreachable!("{error}"))
}

pub(crate) fn open<T: DeserializeOwned>(value: &[u8]) -> Result<T, String> {
    serde_json::from_slice(value).map_err(|error| error.to_string())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn authority_key() -> String {
    format!("{}authority", schema::JOIN)
}

fn tokens() -> String {
    format!("{}tokens/", schema::JOIN)
}

fn token_key(token: TokenDigest) -> String {
    format!("{}{}", tokens(), hex(&token.0))
}

fn unavailable(error: StoreError) -> RedeemError {
    RedeemError::Unavailable(error.to_string())
}

pub(crate) const LAYOUT: u32 = 1;
const TRIES_MAX: u32 = 3;
const EXPIRED_AT_ONCE: usize = 32;

#[cfg(test)]
mod tests {
    use sluice_controlplane_store::Memory;

    use super::*;

    fn digest(text: &str) -> TokenDigest {
        TokenDigest::of(text.as_bytes())
    }

    fn redemption(key: &str, node: u64) -> Redemption {
        Redemption { token: digest("token"), key: digest(key), node: NodeId(node), now_s: 10 }
    }

    #[tokio::test]
    async fn a_token_lets_one_machine_in_and_the_same_one_again() {
        let tokens = JoinTokens::new(Arc::new(Memory::default()));
        assert_eq!(tokens.redeem(redemption("a", 1)).await, Err(RedeemError::Invalid));
        tokens.keep(digest("token"), "anna", 20_000).await.unwrap();
        assert_eq!(tokens.redeem(redemption("a", 1)).await, Ok(NodeId(1)));
        assert_eq!(tokens.redeem(redemption("a", 2)).await, Ok(NodeId(1)), "an answer can be lost");
        assert_eq!(tokens.redeem(redemption("b", 3)).await, Err(RedeemError::Invalid));
    }

    #[tokio::test]
    async fn a_token_that_has_expired_lets_nobody_in() {
        let tokens = JoinTokens::new(Arc::new(Memory::default()));
        tokens.keep(digest("token"), "anna", 9_000).await.unwrap();
        assert_eq!(tokens.redeem(redemption("a", 1)).await, Err(RedeemError::Invalid));
    }

    #[tokio::test]
    async fn the_first_authority_is_that_of_all_replicas() {
        let store: Arc<dyn MetaStore> = Arc::new(Memory::default());
        let record = |name: &str| AuthorityRecord { cluster: name.into(), certificate: vec![1], key: vec![0xff] };
        let kept = KeptAuthority(store);
        assert_eq!(kept.load().await.unwrap(), None);
        assert_eq!(kept.create(record("a")).await.unwrap(), record("a"));
        assert_eq!(kept.create(record("b")).await.unwrap(), record("a"));
        assert_eq!(kept.load().await.unwrap(), Some(record("a")));
    }
}
