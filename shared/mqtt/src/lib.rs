//! MQTT 3.1, 3.1.1 and 5 packets to and from bytes.
//!
//! Decoding borrows everything from its input and allocates nothing; encoding appends to a `Vec<u8>`. The steps are
//! [`split`] (the fixed header), then [`decode`], or [`decode_publish`] and [`decode_ack`] for the packets that come by
//! the million. A decoder accepts what the specification allows and nothing else: whatever a packet alone can prove
//! wrong is refused here, with the reason code to answer.
//!
//! Not here: what needs a connection's state (packet ids in use, topic aliases, quotas) and what topic names and filters
//! may contain beyond being text.
//!
//! Invariants: every `&str` is UTF-8 without U+0000; a packet id is 0 exactly where a packet has none (PUBLISH at QoS 0);
//! decoding what was encoded gives the value that was encoded.

mod ack;
mod auth;
mod connack;
mod connect;
mod disconnect;
pub mod encode;
mod error;
mod frame;
mod packet;
mod property;
mod publish;
mod qos;
mod reader;
mod reason;
mod sink;
mod suback;
mod subscribe;
mod text;
mod unsubscribe;
mod user_property;
mod varint;
mod version;

pub use ack::{Ack, decode_ack};
pub use auth::Auth;
pub use connack::{ConnAck, ConnAckProperties};
pub use connect::{Connect, ConnectError, ConnectLimits, ConnectProperties, Will, WillProperties, decode_connect};
pub use disconnect::{Disconnect, DisconnectProperties};
pub use error::{DecodeError, DecodeErrorKind};
pub use frame::{Frame, FrameError, PACKET_BYTES_MAX, PacketType, REMAINING_LENGTH_MAX, split};
pub use packet::{Packet, decode, decode_from_server};
pub use publish::{
    Publish, PublishHead, PublishProperties, SubscriptionIds, decode_publish, decode_publish_from_server,
    patch_packet_id,
};
pub use qos::QoS;
pub use reason::ReasonCode;
pub use suback::{ReasonCodes, SubAck, UnsubAck};
pub use subscribe::{RetainHandling, Subscribe, SubscribeFilter, SubscribeFilters, SubscriptionOptions};
pub use unsubscribe::{TopicFilters, Unsubscribe};
pub use user_property::{UserProperties, UserPropertiesIter};
pub use version::Version;
