//! From the file to what the workers take.

use sluice_dataplane_core::settings::{self as core, ListenerSettings, Settings};

use super::{Durability, Listener, NodeConfig, OpenTo, Overflow, SharedStrategy};

impl NodeConfig {
    /// What each of the node's workers takes.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let Self { mqtt, limits, storage, .. } = self;
        let budget = usize::try_from(limits.memory_budget.bytes()).unwrap_or(usize::MAX);
        Settings {
            listeners: self.listeners.iter().map(|listener| self.listener_settings(listener)).collect(),
            has_authentication: !self.auth.chain.is_empty(),
            has_gate: self.is_clustered(),
            shards: storage.shards,
            packet_bytes_max: size(mqtt.max_packet_size.0),
            connect_bytes_max: size(limits.connect_packet_max.0),
            connect_deadline_ms: limits.connect_deadline.as_millis(),
            packet_deadline_ms: limits.packet_deadline.as_millis(),
            client_id_bytes_max: mqtt.client_id_length_max.into(),
            client_id_plain_only: mqtt.client_id_plain_only,
            topic_bytes_max: mqtt.topic_length_max.into(),
            topic_levels_max: mqtt.topic_levels_max.into(),
            user_properties_max: mqtt.user_properties_max as usize,
            user_properties_bytes_max: mqtt.user_properties_size_max.as_usize(),
            keep_alive_max_s: u16::try_from(mqtt.max_keepalive.as_secs()).unwrap_or(u16::MAX),
            receive_maximum: mqtt.receive_maximum,
            receive_maximum_v3: mqtt.receive_maximum_v3,
            outbound_window_max: mqtt.outbound_window,
            topic_alias_in_max: mqtt.topic_alias_in,
            topic_alias_out_max: mqtt.topic_alias_out,
            qos_max: mqtt.max_qos,
            retain_available: mqtt.retain_available,
            wildcard_available: mqtt.wildcard_available,
            shared_available: mqtt.shared_available,
            session_expiry_max_s: size(mqtt.session_expiry_max.as_secs()),
            sessions_per_principal_max: limits.sessions_per_principal as usize,
            inbox_messages_max: mqtt.inbox.messages_max as usize,
            inbox_bytes_max: mqtt.inbox.bytes_max.as_usize(),
            inbox_overflow: mqtt.inbox.overflow.into(),
            inbox_qos0: mqtt.inbox.queue_qos0,
            subscriptions_max: mqtt.subscriptions_max as usize,
            filters_per_packet_max: mqtt.filters_per_packet_max as usize,
            will_bytes_max: mqtt.will_size_max.as_usize(),
            retained_messages_max: usize::try_from(mqtt.retained.messages_max).unwrap_or(usize::MAX),
            retained_bytes_max: mqtt.retained.bytes_max.as_usize(),
            retained_copies_bytes_max: mqtt.retained.copies_max.as_usize(),
            hybrid_retained_size_threshold: self.cluster.etcd.hybrid_retained_size_threshold.as_usize(),
            outbox_bytes_max: limits.outbox_max.as_usize(),
            validate_payload_format: mqtt.validate_payload_format,
            group_members_max: mqtt.shared.members_max as usize,
            shared_strategy: mqtt.shared.strategy.into(),
            shared_stall_ms: mqtt.shared.stall_timeout.as_millis(),
            publish_rate_max: limits.publish_rate,
            bytes_rate_max: limits.byte_rate.0,
            control_rate_max: limits.control_rate,
            takeovers_per_minute_max: limits.takeovers_per_minute,
            wills_per_minute_max: limits.wills_per_minute,
            memory_bytes_max: budget / usize::from(self.workers()),
            block_cache_bytes_max: limits.block_cache.as_usize(),
            durability: storage.durability.into(),
            drain_per_second: self.cluster.drain_rate,
            sys_interval_s: size(self.sys_interval.as_secs()),
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    fn listener_settings(&self, listener: &Listener) -> ListenerSettings {
        ListenerSettings {
            name: listener.label(None),
            allow_anonymous: match self.open_to(listener) {
                OpenTo::Authenticated => false,
                OpenTo::Certified | OpenTo::Anyone | OpenTo::ThisMachine => true,
                OpenTo::Unsaid => unreachable!("refused when the file was read"),
            },
            packet_bytes_max: listener.max_packet_size.map(|bytes| size(bytes.0)),
            identity_as_username: listener.identity_as_username,
            response_information: listener.response_information.clone().unwrap_or_default(),
        }
    }
}

impl From<Overflow> for core::Overflow {
    fn from(overflow: Overflow) -> Self {
        match overflow {
            Overflow::EndSession => Self::EndSession,
            Overflow::DropOldest => Self::DropOldest,
            Overflow::DropNewest => Self::DropNewest,
        }
    }
}

impl From<Durability> for core::Durability {
    fn from(durability: Durability) -> Self {
        match durability {
            Durability::Fsync => Self::Fsync,
            Durability::Async => Self::Async,
        }
    }
}

impl From<SharedStrategy> for core::SharedStrategy {
    fn from(strategy: SharedStrategy) -> Self {
        match strategy {
            SharedStrategy::LocalFirst => Self::LocalFirst,
            SharedStrategy::RoundRobin => Self::RoundRobin,
            SharedStrategy::Random => Self::Random,
            SharedStrategy::HashTopic => Self::HashTopic,
            SharedStrategy::HashClient => Self::HashClient,
            SharedStrategy::Sticky => Self::Sticky,
            SharedStrategy::LeastInflight => Self::LeastInflight,
        }
    }
}

/// Values were bounded when the file was read; what is larger all the same becomes the largest.
fn size(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
