//! Encodes each message once for all who get it in the same form.
//!
//! Receivers of one protocol family, QoS and RETAIN get the same bytes but for the packet id: those are encoded for the
//! first of them and copied, with the id patched in, for the rest.

use std::sync::Arc;

use bytes::Bytes;
use sluice_mqtt::{PublishHead, QoS, Version, patch_packet_id};

use crate::{Outbox, message::MessageRef};

/// What depends on the receiver, besides the packet id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form<'a> {
    /// The receiver's protocol.
    pub(crate) version: Version,
    /// QoS of the delivery.
    pub(crate) qos: QoS,
    /// RETAIN of the delivery.
    pub(crate) retain: bool,
    /// DUP of the delivery.
    pub(crate) dup: bool,
    /// Packet id; 0 at QoS 0.
    pub(crate) packet_id: u16,
    /// Subscription identifiers (version 5).
    pub(crate) ids: &'a [u32],
    /// Topic alias to name (version 5).
    pub(crate) alias: Option<u16>,
    /// Whether the topic is left out because the alias says it.
    pub(crate) alias_only: bool,
}

/// The forms of the message being sent.
#[derive(Default)]
pub(crate) struct Encoder {
    /// Which message the forms are of.
    message: u64,
    forms: [Encoded; FORMS],
    /// The payload, shared, once a receiver wants it so.
    payload: Option<Bytes>,
    /// The whole message in Sluice's own encoding, once a queue wants it.
    body: Option<Arc<Vec<u8>>>,
}

#[derive(Default)]
struct Encoded {
    /// Which message this is of.
    message: u64,
    bytes: Vec<u8>,
    packet_id_at: usize,
}

/// Version 5 or not, QoS, RETAIN.
const FORMS: usize = 2 * 3 * 2;

/// The head of a message in a form.
pub(crate) fn head<'a>(message: &MessageRef<'a>, form: &Form<'a>, wall_ms: u64) -> PublishHead<'a> {
    PublishHead {
        version: form.version,
        dup: form.dup,
        qos: form.qos,
        retain: form.retain,
        topic: if form.alias_only { "" } else { message.topic },
        packet_id: form.packet_id,
        message_expiry: message.remaining_s(wall_ms),
        topic_alias: form.alias,
        subscription_ids: form.ids,
        forward: message.forward,
        payload_len: message.payload.len(),
    }
}

impl Encoder {
    /// Starts on a message, by its number.
    pub(crate) fn begin(&mut self, message: u64) {
        self.message = message;
        self.payload = None;
        self.body = None;
    }

    /// The message being sent, encoded for a queue: the same bytes for all queues.
    pub(crate) fn encoded_body(&mut self, message: &MessageRef<'_>) -> Arc<Vec<u8>> {
        let body = self.body.get_or_insert_with(|| {
            let mut out = Vec::new();
            message.encode(&mut out);
            Arc::new(out)
        });
        Arc::clone(body)
    }

    /// Appends the message in a form that many receivers may share. Returns the bytes appended, or `None` (and
    /// appends nothing) when they are more than `max`.
    #[inline]
    pub(crate) fn send_shared(
        &mut self,
        out: &mut Outbox,
        message: &MessageRef<'_>,
        form: &Form<'_>,
        wall_ms: u64,
        max: u32,
    ) -> Option<usize> {
        debug_assert!(form.ids.is_empty() && form.alias.is_none() && !form.dup);
        let place = usize::from(form.version == Version::V5) * 6 + form.qos as usize * 2 + usize::from(form.retain);
        let splice = message.payload.len() >= Outbox::SHARE_BYTES_MIN;
        let encoded = &mut self.forms[place];
        if encoded.message != self.message {
            encoded.message = self.message;
            encoded.bytes.clear();
            encoded.packet_id_at = head(message, form, wall_ms).encode(&mut encoded.bytes);
            if !splice {
                encoded.bytes.extend_from_slice(message.payload);
            }
        }
        let payload_apart = if splice { message.payload.len() } else { 0 };
        let len = encoded.bytes.len() + payload_apart;
        if len > max as usize {
            return None;
        }
        let buffer = out.buffer();
        let start = buffer.len();
        buffer.extend_from_slice(&encoded.bytes);
        if form.qos != QoS::AtMostOnce {
            patch_packet_id(buffer, start + encoded.packet_id_at, form.packet_id);
        }
        if splice {
            let payload = self.payload.get_or_insert_with(|| Bytes::copy_from_slice(message.payload));
            out.share(payload.clone());
        }
        Some(len)
    }
}

/// Appends the message in a form of this receiver's own. Returns the bytes appended, or `None` (and appends nothing)
/// when they are more than `max`.
#[inline]
pub(crate) fn send_one(
    out: &mut Outbox,
    message: &MessageRef<'_>,
    form: &Form<'_>,
    wall_ms: u64,
    max: u32,
) -> Option<usize> {
    let head = head(message, form, wall_ms);
    if max < u32::MAX && head.encoded_len() > max as usize {
        return None;
    }
    let buffer = out.buffer();
    let start = buffer.len();
    sluice_mqtt::encode::publish(buffer, &head, message.payload);
    Some(buffer.len() - start)
}
