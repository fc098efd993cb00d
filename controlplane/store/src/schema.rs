//! Which keys there are, and what stands in them: JSON with the version of its layout, so that operators can read it and a
//! later version knows what it has in front of it. `docs/protocol/store.md` is its description.
//!
//! A value that cannot be read is an answer, not an error: a [`Reading`] that says why.

mod policy;
mod rows;

use sluice_cluster::{KeyspaceId, Label, NodeId};
use sluice_controlplane_core::{
    ledger::Versioned,
    record::{Commit, Record, RecordKey},
    view::Reading,
};

use crate::{Change, Entry, Txn};

/// Below this everything stands that plans are made from.
pub const STATE: &str = "v1/state/";

/// Who leads control, as far as a lease can tell.
pub const LEADER: &str = "v1/leader";

/// Below this stand the tokens of operators and what else decides who may use the HTTP interface.
pub const ACCESS: &str = "v1/access/";

/// Below this stand the certificate authority and the tokens of nodes that are to join.
pub const JOIN: &str = "v1/join/";

/// The key of a record.
#[must_use]
pub fn key(of: &RecordKey) -> String {
    let rest = match of {
        RecordKey::Leadership => "leadership".to_owned(),
        RecordKey::Intent => "intent".to_owned(),
        RecordKey::Node(id) => format!("{NODES}{id}"),
        RecordKey::Policy(name) => format!("{POLICIES}{name}"),
        RecordKey::Placement => "placement".to_owned(),
        RecordKey::Shards(keyspace) => format!("{SHARDS}{:05}", keyspace.0),
        RecordKey::Plan(id) => format!("{PLANS}{id}"),
        RecordKey::History(intent) => format!("{HISTORY}{intent:020}"),
        RecordKey::Recover => "recover".to_owned(),
    };
    format!("{STATE}{rest}")
}

/// The record that a key is for; `None` for one that this version does not know.
#[must_use]
pub fn parse_key(text: &str) -> Option<RecordKey> {
    let rest = text.strip_prefix(STATE)?;
    let parsed = match rest {
        "leadership" => RecordKey::Leadership,
        "intent" => RecordKey::Intent,
        "placement" => RecordKey::Placement,
        "recover" => RecordKey::Recover,
        _ => parse_member(rest)?,
    };
    // A second spelling of a key would be a second record.
    (key(&parsed) == text).then_some(parsed)
}

fn parse_member(rest: &str) -> Option<RecordKey> {
    let below = |folder: &str| rest.strip_prefix(folder);
    if let Some(id) = below(NODES) {
        return u64::from_str_radix(id, 16).ok().map(|id| RecordKey::Node(NodeId(id)));
    }
    if let Some(name) = below(POLICIES) {
        return Label::parse(name).ok().map(RecordKey::Policy);
    }
    if let Some(number) = below(SHARDS) {
        return number.parse().ok().map(|number| RecordKey::Shards(KeyspaceId(number)));
    }
    if let Some(id) = below(PLANS) {
        return Label::parse(id).ok().map(RecordKey::Plan);
    }
    below(HISTORY)?.parse().ok().map(RecordKey::History)
}

/// The bytes of a record.
#[must_use]
pub fn encode(record: &Record) -> Vec<u8> {
    rows::encode(record)
}

/// The record that stands at a key.
///
/// # Errors
/// What is wrong with it, for operators.
pub fn decode(key: &RecordKey, bytes: &[u8]) -> Result<Record, String> {
    rows::decode(key, bytes)
}

/// A transaction of records as one of the store.
#[must_use]
pub fn txn(commit: &Commit) -> Txn {
    let expects = commit.expects.iter().map(|(at, revision)| (key(at), *revision)).collect();
    let writes = commit.writes.iter().map(|(at, record)| (key(at), record.as_ref().map(encode))).collect();
    Txn { expects, writes }
}

/// What a listing says of an entry.
#[must_use]
pub fn read(entry: Entry) -> Reading {
    read_change(Change { key: entry.key.clone(), entry: Some(entry) })
}

/// What a change says of an entry.
#[must_use]
pub fn read_change(change: Change) -> Reading {
    let key = parse_key(&change.key);
    let found = match (&key, change.entry) {
        (_, None) => Ok(None),
        (Some(key), Some(entry)) => decode(key, &entry.value)
            .map(|value| Some(Versioned { value, created: entry.created, modified: entry.modified })),
        (None, Some(_)) => Err("this version does not know such a key".to_owned()),
    };
    Reading { raw_key: change.key, key, found }
}

const NODES: &str = "nodes/";
const POLICIES: &str = "policies/";
const SHARDS: &str = "shards/";
const PLANS: &str = "plans/";
const HISTORY: &str = "history/";

#[cfg(test)]
mod tests;
