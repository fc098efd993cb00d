//! The last good state as bytes, for the node's disk: the same messages as on the stream, each with its length before it.

use bytes::{Buf, BufMut};
use prost::Message;
use sluice_cluster::wire::WireError;
use sluice_proto::push::v1 as pb;

use super::{digest, kind, name, read_resources, version};
use crate::resource::Body;
use crate::{PerType, ResourceType, Saved, SavedType};

/// Writes a state.
#[must_use]
pub fn write_saved(saved: &Saved) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (kind, saved) in saved.types.iter() {
        let resource = |(name, body): &(crate::Name, Body)| pb::Resource {
            name: name.to_string(),
            version: None,
            body: bytes::Bytes::from_owner(body.clone()),
        };
        let message = pb::SavedType {
            r#type: pb::ResourceType::from(kind).into(),
            version: Some(saved.version.into()),
            digest: super::write_digest(saved.digest),
            resources: saved.resources.iter().map(Into::into).collect(),
            retired: saved.retired.iter().map(resource).collect(),
        };
        bytes.reserve(8 + message.encoded_len());
        bytes.put_u64_le(message.encoded_len() as u64);
        // A vector grows: there is always room.
        message.encode_raw(&mut bytes);
    }
    bytes
}

/// Reads a state. Whether it is what its digests say is found when it is restored.
///
/// # Errors
/// The bytes are none.
pub fn read_saved(mut bytes: &[u8]) -> Result<Saved, WireError> {
    let mut saved: PerType<Option<SavedType>> = PerType::default();
    while !bytes.is_empty() {
        let cut = || WireError::new("length", "more than there is");
        let length = bytes.try_get_u64_le().map_err(|_| cut())?;
        let length = usize::try_from(length).map_err(|_| cut())?;
        let (message, rest) = bytes.split_at_checked(length).ok_or_else(cut)?;
        bytes = rest;
        let message = sluice_cluster::wire::decode::<pb::SavedType>(message)?;
        let (kind, read) = read_type(message)?;
        if saved.of_mut(kind).replace(read).is_some() {
            return Err(WireError::new("type", "is there twice"));
        }
    }
    Ok(Saved { types: PerType::from_fn(|kind| saved.of_mut(kind).take().unwrap_or_default()) })
}

fn read_type(message: pb::SavedType) -> Result<(ResourceType, SavedType), WireError> {
    let kind = kind("type", message.r#type())?;
    let retired = |resource: pb::Resource| Ok((name("retired", &resource.name)?, Body::from(&*resource.body)));
    let saved = SavedType {
        version: version("version", message.version)?,
        digest: digest("digest", &message.digest)?,
        retired: message.retired.into_iter().map(retired).collect::<Result<_, WireError>>()?,
        resources: read_resources("resources", message.resources)?,
    };
    Ok((kind, saved))
}
