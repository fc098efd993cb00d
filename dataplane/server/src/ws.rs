//! WebSocket (RFC 6455) as a carrier of MQTT bytes: the opening handshake and the frames, both pure.
//!
//! MQTT sees one stream of bytes: frame boundaries mean nothing to it [MQTT-6.0.0-2], so that the decoder hands on
//! payload as it comes and keeps no message.

pub mod frame;
pub mod handshake;

pub use frame::{CloseCode, Decoded, FrameDecoder};
pub use handshake::{Answer, Handshake, Policy};
