//! Every metric of a node: the one place with names and help texts. docs/metrics.md lists the same, which a test checks.
#![allow(missing_docs)] // Each metric says itself what it is.

use sluice_service::metrics::{Kind, Metric};

pub const CONNECTIONS: Metric = Metric {
    name: "mqtt_connections",
    help: "Client connections open now.",
    kind: Kind::Gauge,
    labels: &["listener", "protocol"],
};
pub const CONNECTIONS_OPENED: Metric = Metric {
    name: "mqtt_connections_opened_total",
    help: "Client connections accepted since start.",
    kind: Kind::Counter,
    labels: &["listener"],
};
pub const CONNECTIONS_CLOSED: Metric = Metric {
    name: "mqtt_connections_closed_total",
    help: "Client connections closed since start, by reason.",
    kind: Kind::Counter,
    labels: &["reason"],
};
pub const CONNECTIONS_SHED: Metric = Metric {
    name: "mqtt_connections_shed_total",
    help: "Connections closed right after they were accepted, by cause.",
    kind: Kind::Counter,
    labels: &["cause"],
};
pub const HANDSHAKES_FAILED: Metric = Metric {
    name: "mqtt_handshakes_failed_total",
    help: "Connections that ended before their first MQTT packet, by cause.",
    kind: Kind::Counter,
    labels: &["cause"],
};
pub const SOCKETS: Metric = Metric {
    name: "mqtt_sockets",
    help: "Sockets of clients open now, also of those that have not said CONNECT yet.",
    kind: Kind::Gauge,
    labels: &[],
};
pub const SESSIONS: Metric = Metric {
    name: "mqtt_sessions",
    help: "Sessions held by this node, connected or not.",
    kind: Kind::Gauge,
    labels: &["state"],
};
pub const SESSIONS_EXPIRED: Metric = Metric {
    name: "mqtt_sessions_expired_total",
    help: "Persistent sessions ended by their expiry.",
    kind: Kind::Counter,
    labels: &[],
};
pub const SESSION_TAKEOVERS: Metric = Metric {
    name: "mqtt_session_takeovers_total",
    help: "Connections that took over a connected session.",
    kind: Kind::Counter,
    labels: &[],
};
pub const SUBSCRIPTIONS: Metric = Metric {
    name: "mqtt_subscriptions",
    help: "Subscriptions held by this node.",
    kind: Kind::Gauge,
    labels: &["kind"],
};
pub const SUBSCRIPTION_MATCH_DURATION: Metric = Metric {
    name: "mqtt_subscription_match_duration_seconds",
    help: "Time to find everybody who wants one topic name; sampled.",
    kind: Kind::Histogram,
    labels: &[],
};
pub const MESSAGES_RECEIVED: Metric = Metric {
    name: "mqtt_messages_received_total",
    help: "PUBLISH packets accepted from clients and bridges.",
    kind: Kind::Counter,
    labels: &["qos"],
};
pub const MESSAGES_SENT: Metric = Metric {
    name: "mqtt_messages_sent_total",
    help: "PUBLISH packets queued for writing to clients and bridges.",
    kind: Kind::Counter,
    labels: &["qos"],
};
pub const MESSAGES_DROPPED: Metric = Metric {
    name: "mqtt_messages_dropped_total",
    help: "Messages not delivered, by cause.",
    kind: Kind::Counter,
    labels: &["cause"],
};
pub const PACKETS_RECEIVED: Metric = Metric {
    name: "mqtt_packets_received_total",
    help: "MQTT packets of all kinds received from clients.",
    kind: Kind::Counter,
    labels: &[],
};
pub const PACKETS_SENT: Metric = Metric {
    name: "mqtt_packets_sent_total",
    help: "MQTT packets of all kinds queued for writing to clients.",
    kind: Kind::Counter,
    labels: &[],
};
pub const RECEIVED_BYTES: Metric = Metric {
    name: "mqtt_received_bytes_total",
    help: "MQTT bytes received from clients.",
    kind: Kind::Counter,
    labels: &[],
};
pub const SENT_BYTES: Metric = Metric {
    name: "mqtt_sent_bytes_total",
    help: "MQTT bytes queued for writing to clients.",
    kind: Kind::Counter,
    labels: &[],
};
pub const RECEIVED_PAYLOAD_BYTES: Metric = Metric {
    name: "mqtt_received_payload_bytes_total",
    help: "Payload bytes of PUBLISH packets received from clients.",
    kind: Kind::Counter,
    labels: &[],
};
pub const SENT_PAYLOAD_BYTES: Metric = Metric {
    name: "mqtt_sent_payload_bytes_total",
    help: "Payload bytes of PUBLISH packets queued for clients.",
    kind: Kind::Counter,
    labels: &[],
};
pub const PUBLISH_DURATION: Metric = Metric {
    name: "mqtt_publish_duration_seconds",
    help: "Time from reading a PUBLISH to queuing its PUBACK or PUBREC; sampled.",
    kind: Kind::Histogram,
    labels: &[],
};
pub const DELIVERY_DURATION: Metric = Metric {
    name: "mqtt_delivery_duration_seconds",
    help: "Time from reading a PUBLISH at its entry node to queuing it at the subscriber's node, unless the subscriber holds it up; sampled.",
    kind: Kind::Histogram,
    labels: &["path"],
};
pub const INBOX_MESSAGES: Metric = Metric {
    name: "mqtt_inbox_messages",
    help: "Messages that wait for persistent sessions.",
    kind: Kind::Gauge,
    labels: &[],
};
pub const INBOX_BYTES: Metric = Metric {
    name: "mqtt_inbox_bytes",
    help: "Bytes that wait for persistent sessions.",
    kind: Kind::Gauge,
    labels: &[],
};
pub const INFLIGHT_MESSAGES: Metric = Metric {
    name: "mqtt_inflight_messages",
    help: "Messages sent to clients and not acknowledged yet.",
    kind: Kind::Gauge,
    labels: &[],
};
pub const OUTBOX_BYTES: Metric = Metric {
    name: "mqtt_outbox_bytes",
    help: "Bytes that wait to be written to sockets.",
    kind: Kind::Gauge,
    labels: &[],
};
pub const RETAINED_MESSAGES: Metric = Metric {
    name: "mqtt_retained_messages",
    help: "Retained messages whose home is this node.",
    kind: Kind::Gauge,
    labels: &[],
};
pub const RETAINED_BYTES: Metric = Metric {
    name: "mqtt_retained_bytes",
    help: "Bytes of the retained messages whose home is this node.",
    kind: Kind::Gauge,
    labels: &[],
};
pub const RETAINED_COPIES: Metric = Metric {
    name: "mqtt_retained_copies",
    help: "Retained messages whose home is another node, of which this node has a copy or knows what they are.",
    kind: Kind::Gauge,
    labels: &[],
};
pub const RETAINED_COPIES_BYTES: Metric = Metric {
    name: "mqtt_retained_copies_memory_bytes",
    help: "Memory that those copies take.",
    kind: Kind::Gauge,
    labels: &[],
};
pub const RETAINED_COPIES_BEHIND: Metric = Metric {
    name: "mqtt_retained_copies_behind",
    help: "Workers of other nodes whose retained messages may have changed since they were copied, counted by each worker.",
    kind: Kind::Gauge,
    labels: &[],
};
pub const RETAINED_COPIES_SHOWN: Metric = Metric {
    name: "mqtt_retained_copies_shown_total",
    help: "Retained messages that were shown from copies because their home was out of reach.",
    kind: Kind::Counter,
    labels: &[],
};
pub const RETAINED_COPIES_MISSED: Metric = Metric {
    name: "mqtt_retained_copies_missed_total",
    help: "Large retained messages that were not shown while their home was out of reach, and copies without room.",
    kind: Kind::Counter,
    labels: &["cause"],
};
pub const RETAINED_COPIES_LOST: Metric = Metric {
    name: "mqtt_retained_copies_lost_total",
    help: "Times that another node was so slow to take changes of retained messages that it had to ask for them again.",
    kind: Kind::Counter,
    labels: &[],
};
pub const CLIENTS_STEERED: Metric = Metric {
    name: "mqtt_clients_steered_total",
    help: "Clients told to connect to another node, by cause.",
    kind: Kind::Counter,
    labels: &["cause"],
};
pub const CLIENTS_NOT_STEERED: Metric = Metric {
    name: "mqtt_clients_not_steered_total",
    help: "Clients served where the policy of sessions does not want them, by cause.",
    kind: Kind::Counter,
    labels: &["cause"],
};
pub const AUTH_DENIED: Metric = Metric {
    name: "mqtt_auth_denied_total",
    help: "Denied operations, by action.",
    kind: Kind::Counter,
    labels: &["action"],
};
pub const BAD_INPUT: Metric = Metric {
    name: "mqtt_bad_input_total",
    help: "Input refused for its form or amount, by cause.",
    kind: Kind::Counter,
    labels: &["cause"],
};
pub const MEMORY_BYTES: Metric = Metric {
    name: "mqtt_memory_bytes",
    help: "Memory counted against the budget: sessions, queues and what waits to be written.",
    kind: Kind::Gauge,
    labels: &[],
};
pub const MEMORY_BUDGET_BYTES: Metric = Metric {
    name: "mqtt_memory_budget_bytes",
    help: "The memory budget; 0 without one.",
    kind: Kind::Gauge,
    labels: &[],
};
pub const STORE_DISK_BYTES: Metric = Metric {
    name: "mqtt_store_disk_bytes",
    help: "Disk used by the local message store.",
    kind: Kind::Gauge,
    labels: &["column"],
};
pub const STORE_WRITABLE: Metric = Metric {
    name: "mqtt_store_writable",
    help: "Whether new durable work is taken (1) or the disk is nearly full (0).",
    kind: Kind::Gauge,
    labels: &[],
};
pub const WORKER_TURNS: Metric =
    Metric { name: "mqtt_worker_turns_total", help: "Turns of the workers' loops.", kind: Kind::Counter, labels: &[] };
pub const WORKER_READS: Metric =
    Metric { name: "mqtt_worker_reads_total", help: "Reads from sockets.", kind: Kind::Counter, labels: &[] };
pub const WORKER_WRITES: Metric =
    Metric { name: "mqtt_worker_writes_total", help: "Writes to sockets.", kind: Kind::Counter, labels: &[] };
pub const RELOAD_FAILING: Metric = Metric {
    name: "mqtt_config_reload_failing",
    help: "1 for each set of watched files that could not be read again; the old state is in force.",
    kind: Kind::Gauge,
    labels: &["what"],
};
pub const TLS_CERTIFICATE_EXPIRY: Metric = Metric {
    name: "mqtt_tls_certificate_expiry_timestamp_seconds",
    help: "Unix time at which the certificate in use on a listener expires.",
    kind: Kind::Gauge,
    labels: &["listener"],
};
pub const PEER_ROUND_TRIP: Metric = Metric {
    name: "mqtt_peer_round_trip_seconds",
    help: "Round trip time of the link to another node; none while there is no link.",
    kind: Kind::Gauge,
    labels: &["peer"],
};
pub const PEER_QUEUE_BYTES: Metric = Metric {
    name: "mqtt_peer_queue_bytes",
    help: "Bytes that wait for another node, or for its answer.",
    kind: Kind::Gauge,
    labels: &["peer"],
};
pub const PEER_SENT_BYTES: Metric = Metric {
    name: "mqtt_peer_sent_bytes_total",
    help: "Bytes sent to another node, with everything that QUIC adds.",
    kind: Kind::Counter,
    labels: &["peer"],
};
pub const PEER_RECEIVED_BYTES: Metric = Metric {
    name: "mqtt_peer_received_bytes_total",
    help: "Bytes received from another node, with everything that QUIC adds.",
    kind: Kind::Counter,
    labels: &["peer"],
};
pub const FORWARDED_COPIES: Metric = Metric {
    name: "mqtt_forwarded_copies_total",
    help: "Copies of messages given to links: for one node of this region, or one for all of another region.",
    kind: Kind::Counter,
    labels: &["scope"],
};
pub const FORWARDED_ARRIVED: Metric = Metric {
    name: "mqtt_forwarded_arrived_total",
    help: "Copies of messages that came over links.",
    kind: Kind::Counter,
    labels: &[],
};
pub const FORWARDED_FAILED: Metric = Metric {
    name: "mqtt_forwarded_failed_total",
    help: "Copies that no link took: dropped at QoS 0, refused at QoS 1 and 2 so that the publisher knows.",
    kind: Kind::Counter,
    labels: &["outcome"],
};
pub const CONFIG_STREAM_CONNECTED: Metric = Metric {
    name: "mqtt_config_stream_connected",
    help: "Whether control has a stream to this node (1) or not (0); none without a cluster.",
    kind: Kind::Gauge,
    labels: &[],
};
pub const CONFIG_SNAPSHOT_AGE: Metric = Metric {
    name: "mqtt_config_snapshot_age_seconds",
    help: "Since when the tables in use may be out of date, because control is not heard; 0 while it is.",
    kind: Kind::Gauge,
    labels: &[],
};
pub const CONFIG_TABLE_REVISION: Metric = Metric {
    name: "mqtt_config_table_revision",
    help: "The count of the version held of each table of control; 0 = none was ever received.",
    kind: Kind::Gauge,
    labels: &["table"],
};
pub const READY: Metric = Metric {
    name: "mqtt_node_ready",
    help: "Whether the node takes clients (1) or not (0).",
    kind: Kind::Gauge,
    labels: &[],
};
pub const BUILD_INFO: Metric = Metric {
    name: "mqtt_build_info",
    help: "Always 1; the labels carry version and revision.",
    kind: Kind::Gauge,
    labels: &["version", "revision"],
};

/// All of them, in the order of the page.
pub const ALL: [&Metric; 59] = [
    &CONNECTIONS,
    &CONNECTIONS_OPENED,
    &CONNECTIONS_CLOSED,
    &CONNECTIONS_SHED,
    &HANDSHAKES_FAILED,
    &SOCKETS,
    &SESSIONS,
    &SESSIONS_EXPIRED,
    &SESSION_TAKEOVERS,
    &SUBSCRIPTIONS,
    &SUBSCRIPTION_MATCH_DURATION,
    &MESSAGES_RECEIVED,
    &MESSAGES_SENT,
    &MESSAGES_DROPPED,
    &PACKETS_RECEIVED,
    &PACKETS_SENT,
    &RECEIVED_BYTES,
    &SENT_BYTES,
    &RECEIVED_PAYLOAD_BYTES,
    &SENT_PAYLOAD_BYTES,
    &PUBLISH_DURATION,
    &DELIVERY_DURATION,
    &INBOX_MESSAGES,
    &INBOX_BYTES,
    &INFLIGHT_MESSAGES,
    &OUTBOX_BYTES,
    &RETAINED_MESSAGES,
    &RETAINED_BYTES,
    &RETAINED_COPIES,
    &RETAINED_COPIES_BYTES,
    &RETAINED_COPIES_BEHIND,
    &RETAINED_COPIES_SHOWN,
    &RETAINED_COPIES_MISSED,
    &RETAINED_COPIES_LOST,
    &CLIENTS_STEERED,
    &CLIENTS_NOT_STEERED,
    &AUTH_DENIED,
    &BAD_INPUT,
    &MEMORY_BYTES,
    &MEMORY_BUDGET_BYTES,
    &STORE_DISK_BYTES,
    &STORE_WRITABLE,
    &WORKER_TURNS,
    &WORKER_READS,
    &WORKER_WRITES,
    &RELOAD_FAILING,
    &TLS_CERTIFICATE_EXPIRY,
    &PEER_ROUND_TRIP,
    &PEER_QUEUE_BYTES,
    &PEER_SENT_BYTES,
    &PEER_RECEIVED_BYTES,
    &FORWARDED_COPIES,
    &FORWARDED_ARRIVED,
    &FORWARDED_FAILED,
    &CONFIG_STREAM_CONNECTED,
    &CONFIG_SNAPSHOT_AGE,
    &CONFIG_TABLE_REVISION,
    &READY,
    &BUILD_INFO,
];
