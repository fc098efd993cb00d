//! Retained messages: into their register, and to the store.

use bytes::Bytes;
use sluice_mqtt::ReasonCode;

use super::Worker;
use crate::{
    Key, Now, Op,
    message::{MessageId, MessageRef},
    record::publisher::to_register,
    shard::Admission,
};

impl Worker {
    /// Puts a message into its register, which is this worker's; an empty payload empties it. Whether that becomes true
    /// after a crash only with the open batch. Refused when the register has no room.
    pub(super) fn set_retained(&mut self, message: &MessageRef<'_>) -> Result<bool, ReasonCode> {
        let volatile = is_volatile(message.topic);
        let key = || Key::Retained(self.sharding.of_topic(message.topic), message.topic.into());
        if message.payload.is_empty() {
            let key = key();
            let was_set = self.retained.clear(message.topic);
            if was_set && !volatile {
                self.drop_stored(key);
                self.tell_change(message.topic);
            }
            self.count_retained();
            // What emptied it before may still be on its way to the disk: until then a crash brings the old message back.
            return Ok(!volatile && self.journal.is_behind());
        }
        if !volatile {
            self.check_room(message)?;
            let mut value = Vec::with_capacity(message.encoded_len());
            MessageRef { id: None, ..*message }.encode(&mut value);
            let put = Op::Put(key(), Bytes::from(value));
            self.journal.ops.push(put);
        }
        if self.register(message) {
            self.retained_on_disk_batch = self.journal.open_batch();
        }
        if !volatile {
            self.tell_change(message.topic);
        }
        self.count_retained();
        Ok(!volatile)
    }

    /// As [`Self::set_retained`], for a message from another worker (I20): a QoS 2 message that is routed again after a
    /// crash is in its register already, and another may have come since. One that was refused is not.
    pub(super) fn set_retained_once(&mut self, now: Now, message: &MessageRef<'_>) -> Result<bool, ReasonCode> {
        let Some(id) = message.id else { return self.set_retained(message) };
        // Apart from what the same shard's inboxes know of this publisher.
        let id = MessageId { publisher: to_register(id.publisher), ..id };
        let shard = self.sharding.of_topic(message.topic);
        if self.shard(shard).knows(&id) {
            return Ok(true);
        }
        let stored = self.set_retained(message)?;
        self.message_number += 1;
        let number = self.message_number;
        if let Admission::Fresh(value) = self.shard(shard).admit(number, &id, now.wall_ms) {
            self.journal.ops.push(Op::Put(Key::Dedupe(shard, id.publisher), value));
        }
        Ok(stored)
    }

    /// Refuses a message that the node has no room for.
    fn check_room(&self, message: &MessageRef<'_>) -> Result<(), ReasonCode> {
        let old = self.retained.find(message.topic).map(|held| held.stored_len());
        let share = usize::from(self.sharding.workers());
        let too_many = old.is_none() && self.retained.len() >= self.settings.retained_messages_max.div_ceil(share);
        let bytes_after = self.retained.bytes() - old.unwrap_or(0) + message.encoded_len();
        let too_large = bytes_after > self.settings.retained_bytes_max / share;
        if too_many || too_large || !self.may_store() { Err(ReasonCode::QuotaExceeded) } else { Ok(()) }
    }

    /// Puts a message into its register. Whether it is a large one, of which the register only knows that the store has
    /// it.
    pub(super) fn register(&mut self, message: &MessageRef<'_>) -> bool {
        let large = message.payload.len() > self.settings.hybrid_retained_size_threshold;
        if large && !is_volatile(message.topic) {
            self.retained.set_on_disk(message);
            return true;
        }
        self.retained.set(message);
        false
    }

    /// Notes how much is retained.
    pub(super) fn count_retained(&mut self) {
        self.stats.retained_messages = self.retained.len() as u64;
        self.stats.retained_bytes = self.retained.bytes() as u64;
    }
}

/// Whether a message is gone with the process: what the broker says of itself.
fn is_volatile(topic: &str) -> bool {
    topic.starts_with("$SYS/")
}
