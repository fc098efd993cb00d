//! The store in etcd, 3.4 and later.

mod errors;
mod follow;
mod lease;
mod members;

use std::time::Duration;

use etcd_client::{
    Certificate, Client, Compare, CompareOp, ConnectOptions, GetOptions, Identity, KeyValue, KvClient, TlsOptions,
    Txn as EtcdTxn, TxnOp, TxnOpResponse,
};
use sluice_controlplane_core::ledger::Revision;

use self::errors::failure;
use crate::{
    Answer, Entry, Leadership, Listing, MetaStore, Outcome, Status, StoreError, Txn, Watch, store::check_size,
};

/// How an etcd is reached.
#[derive(Clone, Debug)]
pub struct EtcdSettings {
    /// Its members as `http://host:2379` or `https://…`; at least one. All should be named: whichever answers is used.
    pub endpoints: Vec<String>,
    /// In front of every key, so that several clusters can share an etcd.
    pub prefix: String,
    /// Name and password.
    pub user: Option<(String, String)>,
    /// What endpoints with `https` are trusted by, and this process with them.
    pub tls: Option<EtcdTls>,
    /// How long one request may take.
    pub timeout: Duration,
    /// At how many bytes it stops taking writes. etcd says it since 3.6; before, whoever configured it has to.
    pub quota_bytes: Option<u64>,
}

impl Default for EtcdSettings {
    fn default() -> Self {
        Self {
            endpoints: vec!["http://127.0.0.1:2379".into()],
            prefix: "/sluice/".into(),
            user: None,
            tls: None,
            timeout: Duration::from_secs(3),
            quota_bytes: None,
        }
    }
}

/// Certificates for an etcd, in PEM.
#[derive(Clone, Default)]
pub struct EtcdTls {
    /// Whose signature its certificates carry.
    pub authority: Option<Vec<u8>>,
    /// This process's own certificate and key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    /// The name that the certificates are for, when it is not the one in the endpoints.
    pub server_name: Option<String>,
}

impl std::fmt::Debug for EtcdTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EtcdTls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

/// The store in etcd. Clones share their connections.
#[derive(Clone)]
pub struct Etcd {
    client: Client,
    settings: EtcdSettings,
}

impl Etcd {
    /// Connects. Without a user and a password this asks nobody: an etcd that is away is found by the first request.
    ///
    /// # Errors
    /// The settings contradict themselves, or the password is wrong, or no member could check it.
    pub async fn connect(settings: EtcdSettings) -> Result<Self, StoreError> {
        let connect = Client::connect(settings.endpoints.clone(), Some(options(&settings)));
        let client = tokio::time::timeout(settings.timeout, connect).await;
        let client = client.map_err(|_| StoreError::unavailable("no member answers"))?.map_err(failure)?;
        Ok(Self { client, settings })
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.settings.prefix)
    }

    fn kv(&self) -> KvClient {
        self.client.kv_client().max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Does something within the time that one request has.
    async fn timed<T>(&self, request: impl Future<Output = Result<T, etcd_client::Error>>) -> Result<T, StoreError> {
        match tokio::time::timeout(self.settings.timeout, request).await {
            Ok(answer) => answer.map_err(failure),
            Err(_) => Err(StoreError::unavailable(format!("no answer in {:?}", self.settings.timeout))),
        }
    }

    /// Asks again, of whichever member, while that may help and asking twice does no harm.
    async fn retried<T, F>(&self, request: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, etcd_client::Error>>,
    {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.timed(request()).await {
                Err(error) if error.is_passing() && tries < TRIES_MAX => tokio::time::sleep(RETRY_AFTER).await,
                answer => return answer,
            }
        }
    }

    async fn read(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        let full = self.key(key);
        let found = self.retried(|| async { self.kv().get(full.clone(), None).await }).await?;
        found.kvs().first().map(|kv| entry(&self.settings.prefix, kv)).transpose()
    }

    async fn read_all(&self, prefix: &str) -> Result<Listing, StoreError> {
        let full = self.key(prefix);
        let end = end_of_prefix(&full);
        let mut listing = Listing::default();
        let mut from = full.into_bytes();
        loop {
            let at = listing.revision.0;
            let page = self
                .retried(|| async {
                    let options = GetOptions::new().with_range(end.clone()).with_limit(PAGE_ENTRIES);
                    let options = if at > 0 { options.with_revision(at as i64) } else { options };
                    self.kv().get(from.clone(), Some(options)).await
                })
                .await?;
            if listing.revision == Revision::ABSENT {
                listing.revision = header_revision(page.header());
            }
            for kv in page.kvs() {
                listing.entries.push(entry(&self.settings.prefix, kv)?);
            }
            match page.kvs().last() {
                Some(last) if page.more() => from = [last.key(), &[0]].concat(),
                Some(_) | None => return Ok(listing),
            }
        }
    }

    async fn write(&self, txn: Txn) -> Result<Outcome, StoreError> {
        check_size(&txn)?;
        let compare = |(key, at): (&String, &Revision)| {
            // An entry that is not there has revision 0.
            Compare::mod_revision(self.key(key), CompareOp::Equal, at.0 as i64)
        };
        let write = |(key, value): (&String, &Option<Vec<u8>>)| match value {
            Some(value) => TxnOp::put(self.key(key), value.clone(), None),
            None => TxnOp::delete(self.key(key), None),
        };
        let look = |key: &String| TxnOp::get(self.key(key), Some(GetOptions::new().with_keys_only()));
        let request = EtcdTxn::new()
            .when(txn.expects.iter().map(compare).collect::<Vec<_>>())
            .and_then(txn.writes.iter().map(write).collect::<Vec<_>>())
            .or_else(txn.expects.keys().map(look).collect::<Vec<_>>());
        let answer = self.timed(async { self.kv().txn(request).await }).await?;
        if answer.succeeded() {
            return Ok(Outcome::Committed(header_revision(answer.header())));
        }
        let found = answer.op_responses().into_iter().map(|op| match op {
            TxnOpResponse::Get(got) => got.kvs().first().map_or(Revision::ABSENT, |kv| revision(kv.mod_revision())),
            TxnOpResponse::Put(_) | TxnOpResponse::Delete(_) | TxnOpResponse::Txn(_) => Revision::ABSENT,
        });
        let mut differing = txn.expects.iter().zip(found).filter(|((_, at), found)| **at != *found);
        match differing.next() {
            Some(((key, _), modified)) => Ok(Outcome::Conflict { key: key.clone(), modified }),
            None => Err(StoreError::unavailable("an answer without a reason")),
        }
    }
}

impl MetaStore for Etcd {
    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Entry>> {
        Box::pin(self.read(key))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Listing> {
        Box::pin(self.read_all(prefix))
    }

    fn commit(&self, txn: Txn) -> Answer<'_, Outcome> {
        Box::pin(self.write(txn))
    }

    fn watch(&self, prefix: &str, after: Option<Revision>) -> Watch {
        follow::start(self.clone(), prefix.to_owned(), after)
    }

    fn campaign<'a>(&'a self, name: &'a str, candidate: &'a str, ttl: Duration) -> Answer<'a, Leadership> {
        Box::pin(lease::campaign(self, name, candidate, ttl))
    }

    fn status(&self) -> Answer<'_, Status> {
        Box::pin(members::status(self))
    }

    fn compact(&self, upto: Revision) -> Answer<'_, ()> {
        Box::pin(async move {
            match self.timed(async { self.kv().compact(upto.0 as i64, None).await }).await {
                Ok(_) => Ok(()),
                // Another has compacted as far or further.
                Err(StoreError::Invalid { reason }) if reason.contains("compacted") => Ok(()),
                Err(error) => Err(error),
            }
        })
    }
}

fn options(settings: &EtcdSettings) -> ConnectOptions {
    let mut options = ConnectOptions::new()
        // A member that is cut off from its leader would serve stale watches for ever.
        .with_require_leader(true)
        .with_connect_timeout(settings.timeout)
        // A machine that vanishes answers nothing; etcd allows a ping every 5 s.
        .with_keep_alive(PING_EVERY, PING_ANSWER_MAX)
        .with_keep_alive_while_idle(true)
        .with_auto_token_refresh(true);
    if let Some((name, password)) = &settings.user {
        options = options.with_user(name, password);
    }
    if let Some(tls) = &settings.tls {
        options = options.with_tls(tls_options(tls));
    }
    options
}

fn tls_options(tls: &EtcdTls) -> TlsOptions {
    let mut options = TlsOptions::new();
    if let Some(authority) = &tls.authority {
        options = options.ca_certificate(Certificate::from_pem(authority));
    }
    if let Some((certificate, key)) = &tls.identity {
        options = options.identity(Identity::from_pem(certificate, key));
    }
    if let Some(name) = &tls.server_name {
        options = options.domain_name(name);
    }
    options
}

/// The first key behind all that begin with a prefix.
fn end_of_prefix(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end;
        }
    }
    // "From here to the end", as etcd says it.
    vec![0]
}

fn entry(prefix: &str, kv: &KeyValue) -> Result<Entry, StoreError> {
    Ok(Entry {
        key: stripped(prefix, kv)?,
        value: kv.value().to_vec(),
        created: revision(kv.create_revision()),
        modified: revision(kv.mod_revision()),
    })
}

fn stripped(prefix: &str, kv: &KeyValue) -> Result<String, StoreError> {
    let key = String::from_utf8_lossy(kv.key());
    let own = key.strip_prefix(prefix).map(str::to_owned);
    own.ok_or_else(|| StoreError::unavailable(format!("etcd answers with {key}, which nobody asked for")))
}

fn header_revision(header: Option<&etcd_client::ResponseHeader>) -> Revision {
    header.map_or(Revision::ABSENT, |header| revision(header.revision()))
}

fn revision(number: i64) -> Revision {
    Revision(u64::try_from(number).unwrap_or(0))
}

/// Entries read at once: of the largest values, what one answer may hold.
const PAGE_ENTRIES: i64 = 256;
/// An answer of a page of the largest values, or all that one transaction has changed.
const MESSAGE_BYTES_MAX: usize = 512 << 20;
/// Tries of a request that changes nothing.
const TRIES_MAX: u32 = 3;
const RETRY_AFTER: Duration = Duration::from_millis(50);
const PING_EVERY: Duration = Duration::from_secs(5);
const PING_ANSWER_MAX: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_the_first_key_that_does_not_begin_with_it() {
        assert_eq!(end_of_prefix("/sluice/"), b"/sluice0");
        assert_eq!(end_of_prefix(""), [0]);
        assert!(end_of_prefix("a") > b"azzz".to_vec() && end_of_prefix("a") <= b"b".to_vec());
    }
}
