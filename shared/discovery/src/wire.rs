//! The frames of a stream as the messages of `proto`, with what else travels on it.
//!
//! A message becomes a frame by `TryFrom`, which checks every bound and says which field is wrong.

use std::collections::BTreeMap;

use bytes::Bytes;
use sluice_cluster::wire::{WireError, node_id, read_peers, write_peers};
use sluice_cluster::{Report, SetDigest, Version, interest::InterestFrame};
use sluice_proto::push::v1 as pb;

use crate::limits::REASON_BYTES_MAX;
use crate::resource::{Body, Name, Resource};
use crate::{Answer, Down, Held, Nonce, PerType, Refusal, ResourceType, Response, Up};

mod saved;
#[cfg(test)]
mod tests;

pub use saved::{read_saved, write_saved};

/// What a node sends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FromNode {
    /// About what it holds.
    Frame(Up),
    /// About itself.
    Report(Report),
}

/// What control sends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FromControl {
    /// About what is to be held.
    Frame(Down),
    /// About the node's interest.
    Interest(InterestFrame),
}

/// Most resources, and most removed names, of one part of a response: all have a name at least.
pub const PART_RESOURCES_MAX: usize = 1 << 16;

impl From<&FromNode> for pb::Up {
    fn from(sent: &FromNode) -> Self {
        use pb::up::Frame;

        let frame = match sent {
            FromNode::Frame(Up::Hello { node, held }) => {
                Frame::Hello(pb::Hello { node: node.0, held: write_held_all(held) })
            }
            FromNode::Frame(Up::Answer(answer)) => Frame::Answer(answer.into()),
            FromNode::Frame(Up::Heartbeat { number, held }) => {
                Frame::Heartbeat(pb::Heartbeat { number: *number, held: write_held_all(held) })
            }
            FromNode::Report(Report::Registration(registration)) => Frame::Registration(registration.into()),
            FromNode::Report(Report::Interest(frame)) => Frame::Interest(frame.into()),
            FromNode::Report(Report::Load(load)) => Frame::Load(load.into()),
            FromNode::Report(Report::Replicas(replicas)) => Frame::Replicas(replicas.into()),
            FromNode::Report(Report::Peers(peers)) => Frame::Peers(write_peers(peers)),
        };
        Self { frame: Some(frame) }
    }
}

impl TryFrom<pb::Up> for FromNode {
    type Error = WireError;

    fn try_from(message: pb::Up) -> Result<Self, WireError> {
        use pb::up::Frame;

        match message.frame.ok_or_else(|| WireError::new("frame", UNKNOWN))? {
            Frame::Hello(hello) => {
                let node = node_id("hello.node", hello.node)?;
                Ok(Self::Frame(Up::Hello { node, held: read_held_all("hello.held", hello.held)? }))
            }
            Frame::Answer(answer) => {
                Ok(Self::Frame(Up::Answer(answer.try_into().map_err(|error: WireError| error.within("answer"))?)))
            }
            Frame::Heartbeat(heartbeat) => {
                let held = read_held_all("heartbeat.held", heartbeat.held)?;
                Ok(Self::Frame(Up::Heartbeat { number: heartbeat.number, held }))
            }
            Frame::Registration(message) => report("registration", message, Report::Registration),
            Frame::Interest(message) => report("interest", message, Report::Interest),
            Frame::Load(message) => report("load", message, Report::Load),
            Frame::Replicas(message) => report("replicas", message, Report::Replicas),
            Frame::Peers(message) => Ok(Self::Report(Report::Peers(read_peers(message)?))),
        }
    }
}

fn report<M, T: TryFrom<M, Error = WireError>>(
    field: &str,
    message: M,
    of: fn(T) -> Report,
) -> Result<FromNode, WireError> {
    T::try_from(message).map(|report| FromNode::Report(of(report))).map_err(|error| error.within(field))
}

impl From<&FromControl> for pb::Down {
    fn from(sent: &FromControl) -> Self {
        use pb::down::Frame;

        let frame = match sent {
            FromControl::Frame(Down::Response(response)) => Frame::Response(response.into()),
            FromControl::Frame(Down::Settle { versions }) => {
                let version = |(kind, version): (ResourceType, &Version)| pb::TypeVersion {
                    r#type: pb::ResourceType::from(kind).into(),
                    version: Some((*version).into()),
                };
                Frame::Settle(pb::Settle { versions: versions.iter().map(version).collect() })
            }
            FromControl::Frame(Down::Heartbeat { number }) => Frame::Heartbeat(pb::Beat { number: *number }),
            FromControl::Interest(frame) => Frame::Interest(frame.into()),
        };
        Self { frame: Some(frame) }
    }
}

impl TryFrom<pb::Down> for FromControl {
    type Error = WireError;

    fn try_from(message: pb::Down) -> Result<Self, WireError> {
        use pb::down::Frame;

        match message.frame.ok_or_else(|| WireError::new("frame", UNKNOWN))? {
            Frame::Response(response) => {
                let response = response.try_into().map_err(|error: WireError| error.within("response"))?;
                Ok(Self::Frame(Down::Response(response)))
            }
            Frame::Settle(settle) => {
                let version = |message: pb::TypeVersion| {
                    Ok((kind("type", message.r#type())?, version("version", message.version)?))
                };
                let versions = of_every_type("settle.versions", settle.versions, version)?;
                Ok(Self::Frame(Down::Settle { versions }))
            }
            Frame::Heartbeat(beat) => Ok(Self::Frame(Down::Heartbeat { number: beat.number })),
            Frame::Interest(frame) => {
                Ok(Self::Interest(frame.try_into().map_err(|error: WireError| error.within("interest"))?))
            }
        }
    }
}

impl From<&Answer> for pb::Answer {
    fn from(answer: &Answer) -> Self {
        Self {
            nonce: answer.nonce.0,
            refusal: answer.outcome.as_ref().err().map(Into::into),
            held: Some(write_held(answer.kind, &answer.held)),
        }
    }
}

impl TryFrom<pb::Answer> for Answer {
    type Error = WireError;

    fn try_from(message: pb::Answer) -> Result<Self, WireError> {
        let held = message.held.ok_or_else(|| WireError::new("held", MISSING))?;
        let (kind, held) = read_held(held).map_err(|error| error.within("held"))?;
        let outcome = message.refusal.map_or(Ok(Ok(())), |refusal| Refusal::try_from(refusal).map(Err));
        let outcome = outcome.map_err(|error| error.within("refusal"))?;
        Ok(Self { nonce: Nonce(message.nonce), kind, outcome, held })
    }
}

impl From<&Refusal> for pb::Refusal {
    fn from(refusal: &Refusal) -> Self {
        use pb::refusal::Reason;

        let (reason, words) = match refusal {
            Refusal::Base => (Reason::Base, ""),
            Refusal::Digest => (Reason::Digest, ""),
            Refusal::Regressed => (Reason::Regressed, ""),
            Refusal::Empty => (Reason::Empty, ""),
            Refusal::TooLarge => (Reason::TooLarge, ""),
            Refusal::Invalid(words) => (Reason::Invalid, words.as_str()),
        };
        Self { reason: reason.into(), words: words.into() }
    }
}

impl TryFrom<pb::Refusal> for Refusal {
    type Error = WireError;

    fn try_from(message: pb::Refusal) -> Result<Self, WireError> {
        use pb::refusal::Reason;

        match message.reason() {
            Reason::Unspecified => Err(WireError::new("reason", UNKNOWN)),
            Reason::Base => Ok(Self::Base),
            Reason::Digest => Ok(Self::Digest),
            Reason::Regressed => Ok(Self::Regressed),
            Reason::Empty => Ok(Self::Empty),
            Reason::TooLarge => Ok(Self::TooLarge),
            Reason::Invalid if message.words.len() > REASON_BYTES_MAX => Err(WireError::new(
                "words",
                format_args!("{} bytes, more than {REASON_BYTES_MAX}", message.words.len()),
            )),
            Reason::Invalid => Ok(Self::Invalid(message.words)),
        }
    }
}

impl From<&Response> for pb::Response {
    fn from(response: &Response) -> Self {
        Self {
            r#type: pb::ResourceType::from(response.kind).into(),
            version: Some(response.version.into()),
            nonce: response.nonce.0,
            base: response.base.map(Into::into),
            digest: write_digest(response.digest),
            part: response.part,
            last: response.last,
            upserts: response.upserts.iter().map(Into::into).collect(),
            removals: response.removals.iter().map(Name::to_string).collect(),
        }
    }
}

impl TryFrom<pb::Response> for Response {
    type Error = WireError;

    fn try_from(message: pb::Response) -> Result<Self, WireError> {
        let removal = |(at, text): (usize, &String)| name(&format!("removals[{at}]"), text);
        at_most("upserts", message.upserts.len())?;
        at_most("removals", message.removals.len())?;
        if message.part == u32::MAX {
            return Err(WireError::new("part", "has run out"));
        }
        Ok(Self {
            kind: kind("type", message.r#type())?,
            version: version("version", message.version)?,
            nonce: Nonce(message.nonce),
            base: message.base.map(Into::into),
            digest: digest("digest", &message.digest)?,
            part: message.part,
            last: message.last,
            removals: message.removals.iter().enumerate().map(removal).collect::<Result<_, _>>()?,
            upserts: read_resources("upserts", message.upserts)?,
        })
    }
}

impl From<&Resource> for pb::Resource {
    fn from(resource: &Resource) -> Self {
        Self {
            name: resource.name.to_string(),
            version: Some(resource.version.into()),
            // Without a copy: the body lives as long as one of its readers.
            body: Bytes::from_owner(resource.body.clone()),
        }
    }
}

impl TryFrom<pb::Resource> for Resource {
    type Error = WireError;

    fn try_from(message: pb::Resource) -> Result<Self, WireError> {
        let version = version("version", message.version)?;
        Ok(Self { name: name("name", &message.name)?, version, body: Body::from(&*message.body) })
    }
}

/// What a publisher is to publish, from a table cut by `sluice_cluster::wire::resources`.
///
/// # Errors
/// A name is too long to be one.
pub fn wanted(resources: BTreeMap<String, Vec<u8>>) -> Result<BTreeMap<Name, Body>, WireError> {
    resources.into_iter().map(|(text, body)| Ok((name("name", &text)?, Body::from(body)))).collect()
}

impl From<ResourceType> for pb::ResourceType {
    fn from(kind: ResourceType) -> Self {
        match kind {
            ResourceType::Nodes => Self::Nodes,
            ResourceType::Placement => Self::Placement,
            ResourceType::Routes => Self::Routes,
            ResourceType::Policy => Self::Policy,
        }
    }
}

fn kind(field: &str, message: pb::ResourceType) -> Result<ResourceType, WireError> {
    match message {
        pb::ResourceType::Unspecified => Err(WireError::new(field, UNKNOWN)),
        pb::ResourceType::Nodes => Ok(ResourceType::Nodes),
        pb::ResourceType::Placement => Ok(ResourceType::Placement),
        pb::ResourceType::Routes => Ok(ResourceType::Routes),
        pb::ResourceType::Policy => Ok(ResourceType::Policy),
    }
}

fn write_held_all(held: &PerType<Held>) -> Vec<pb::Held> {
    held.iter().map(|(kind, held)| write_held(kind, held)).collect()
}

fn read_held_all(field: &str, list: Vec<pb::Held>) -> Result<PerType<Held>, WireError> {
    of_every_type(field, list, read_held)
}

fn write_held(kind: ResourceType, held: &Held) -> pb::Held {
    pb::Held {
        r#type: pb::ResourceType::from(kind).into(),
        version: Some(held.version.into()),
        digest: write_digest(held.digest),
        refused: held.refused.map(Into::into),
    }
}

fn read_held(message: pb::Held) -> Result<(ResourceType, Held), WireError> {
    let kind = kind("type", message.r#type())?;
    let held = Held {
        version: version("version", message.version)?,
        digest: digest("digest", &message.digest)?,
        refused: message.refused.map(Into::into),
    };
    Ok((kind, held))
}

/// A list with one value of every type.
fn of_every_type<M, T: Copy + Default>(
    field: &str,
    list: Vec<M>,
    read: impl Fn(M) -> Result<(ResourceType, T), WireError>,
) -> Result<PerType<T>, WireError> {
    let mut found: PerType<Option<T>> = PerType::default();
    if list.len() > ResourceType::ALL.len() {
        return Err(WireError::new(field, "a type is there twice"));
    }
    for message in list {
        let (kind, value) = read(message).map_err(|error| error.within(field))?;
        if found.of_mut(kind).replace(value).is_some() {
            return Err(WireError::new(field, "a type is there twice"));
        }
    }
    // A type that the other end does not know is one of which it holds nothing.
    Ok(PerType::from_fn(|kind| found.of(kind).unwrap_or_default()))
}

fn read_resources(field: &str, list: Vec<pb::Resource>) -> Result<Vec<Resource>, WireError> {
    let place =
        |(at, message)| Resource::try_from(message).map_err(|error: WireError| error.within(&format!("{field}[{at}]")));
    list.into_iter().enumerate().map(place).collect()
}

fn name(field: &str, text: &str) -> Result<Name, WireError> {
    Name::new(text).map_err(|error| WireError::new(field, error))
}

fn version(field: &str, message: Option<sluice_proto::cluster::v1::Version>) -> Result<Version, WireError> {
    message.map(Into::into).ok_or_else(|| WireError::new(field, MISSING))
}

fn write_digest(digest: SetDigest) -> Bytes {
    Bytes::copy_from_slice(&digest.0.to_le_bytes())
}

fn digest(field: &str, bytes: &[u8]) -> Result<SetDigest, WireError> {
    let wrong = |_| WireError::new(field, format_args!("16 bytes, not {}", bytes.len()));
    Ok(SetDigest(u128::from_le_bytes(bytes.try_into().map_err(wrong)?)))
}

fn at_most(field: &str, len: usize) -> Result<(), WireError> {
    let problem = || WireError::new(field, format_args!("{len} entries, more than {PART_RESOURCES_MAX}"));
    if len > PART_RESOURCES_MAX { Err(problem()) } else { Ok(()) }
}

const MISSING: &str = "is missing";
const UNKNOWN: &str = "is none that is known here";
