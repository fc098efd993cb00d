//! What the forwarder does with the bytes of one connection.

use anyhow::{Context, Result, bail, ensure};

use crate::codec::{self, Frame};

/// A connection's part in the traffic.
#[derive(Debug)]
pub(super) enum Peer {
    /// Neither has subscribed nor published.
    Fresh,
    /// Has subscribed; everything it sends is an acknowledgement of four bytes.
    Subscriber,
    /// Publishes messages that all look like the first one.
    Publisher {
        /// Bytes of each message.
        message_len: usize,
        /// Where the packet id stands in a message.
        packet_id_at: usize,
        /// The answer to each message: none at QoS 0.
        answer: Option<u8>,
        /// The links its messages go to.
        route: Vec<usize>,
    },
}

/// What to do with the start of the bytes that were offered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing before more bytes come.
    Incomplete,
    /// So many bytes are dealt with.
    Used(usize),
    /// A filter was subscribed to.
    Subscribed { filter: String, len: usize },
    /// The peer turns out to publish to this topic: set its route, then offer the bytes again.
    Publishes { topic: String },
    /// So many bytes are to be forwarded as they are.
    Forward(usize),
}

/// Bytes of each acknowledgement packet.
const ACK_LEN: usize = 4;
/// SUBACK's code for a refused subscription. [MQTT-3.9.3-2]
const REFUSED: u8 = 0x80;

impl Peer {
    /// Looks at the start of `bytes` and appends answers to `out`. Fails when the connection is to be closed.
    pub(super) fn step(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<Step> {
        match self {
            Self::Fresh => self.on_handshake(bytes, out),
            Self::Subscriber if bytes[0] == codec::SUBSCRIBE => self.on_handshake(bytes, out),
            Self::Subscriber => Ok(on_subscriber_acks(bytes, out)),
            Self::Publisher { message_len, packet_id_at, answer, .. } => {
                Ok(on_messages(bytes, *message_len, *packet_id_at, *answer, out))
            }
        }
    }

    /// Fixes where a publisher's messages go.
    pub(super) fn set_route(&mut self, links: Vec<usize>) {
        if let Self::Publisher { route, .. } = self {
            *route = links;
        }
    }

    /// Where a publisher's messages go.
    pub(super) fn route(&self) -> &[usize] {
        if let Self::Publisher { route, .. } = self { route } else { &[] }
    }

    /// Whether the connection has subscribed.
    pub(super) fn is_subscriber(&self) -> bool {
        matches!(self, Self::Subscriber)
    }

    fn on_handshake(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<Step> {
        let Some(frame) = Frame::split(bytes)? else { return Ok(Step::Incomplete) };
        match frame.head & 0xF0 {
            0x10 => {
                let flags = *frame.body.get(7).context("a CONNECT without flags")?;
                // Sessions that outlive connections are beyond a forwarder: refuse with "server unavailable".
                let code = if flags & 0x02 == 0 { 3 } else { 0 };
                out.extend_from_slice(&[codec::CONNACK, 2, 0, code]);
                Ok(Step::Used(frame.len))
            }
            0x80 => self.on_subscribe(&frame, out),
            codec::PUBLISH => self.on_first_message(&frame),
            _ => bail!("a packet that a forwarder does not know"),
        }
    }

    fn on_subscribe(&mut self, frame: &Frame<'_>, out: &mut Vec<u8>) -> Result<Step> {
        let (packet_id, mut rest) = frame.body.split_first_chunk::<2>().context("a SUBSCRIBE without an id")?;
        let mut codes = Vec::new();
        let mut first = None;
        while let Some((len, after)) = rest.split_first_chunk::<2>() {
            let len = usize::from(u16::from_be_bytes(*len));
            ensure!(after.len() > len, "a SUBSCRIBE that is too short");
            let filter = std::str::from_utf8(&after[..len]).context("a filter that is not text")?;
            codes.push(if filter.starts_with("$share/") { REFUSED } else { after[len] });
            first.get_or_insert_with(|| filter.to_owned());
            rest = &after[len + 1..];
        }
        ensure!(codes.len() <= 0x3FFF, "a SUBSCRIBE of too many filters");
        out.extend_from_slice(&[codec::SUBACK]);
        codec::remaining_length(out, 2 + codes.len());
        out.extend_from_slice(packet_id);
        out.extend_from_slice(&codes);
        *self = Self::Subscriber;
        // Clients with many filters are there to make matching hard, and never receive: one filter is enough.
        let filter = first.context("a SUBSCRIBE without filters")?;
        Ok(Step::Subscribed { filter, len: frame.len })
    }

    fn on_first_message(&mut self, frame: &Frame<'_>) -> Result<Step> {
        ensure!(frame.head & 1 == 0, "retained messages are beyond a forwarder");
        let (topic_len, rest) = frame.body.split_first_chunk::<2>().context("a PUBLISH without a topic")?;
        let topic_len = usize::from(u16::from_be_bytes(*topic_len));
        let topic = rest.get(..topic_len).context("a PUBLISH that is too short")?;
        let topic = std::str::from_utf8(topic).context("a topic that is not text")?.to_owned();
        let answer = match (frame.head >> 1) & 3 {
            0 => None,
            1 => Some(codec::PUBACK),
            _ => Some(codec::PUBREC),
        };
        let packet_id_at = frame.len - frame.body.len() + 2 + topic_len;
        *self = Self::Publisher { message_len: frame.len, packet_id_at, answer, route: Vec::new() };
        Ok(Step::Publishes { topic })
    }
}

/// A subscriber's acknowledgements: PUBREC is answered with PUBREL, the others end here.
fn on_subscriber_acks(bytes: &[u8], out: &mut Vec<u8>) -> Step {
    let (acks, _) = bytes.as_chunks::<ACK_LEN>();
    for [kind, _, high, low] in acks {
        if *kind == codec::PUBREC {
            out.extend_from_slice(&[codec::PUBREL, 2, *high, *low]);
        }
    }
    if acks.is_empty() { Step::Incomplete } else { Step::Used(acks.len() * ACK_LEN) }
}

/// A publisher's bytes: as many whole messages as stand at the start, or the PUBRELs that stand there.
fn on_messages(bytes: &[u8], message_len: usize, packet_id_at: usize, answer: Option<u8>, out: &mut Vec<u8>) -> Step {
    let Some(answer) = answer else {
        let whole = bytes.len() - bytes.len() % message_len;
        return if whole == 0 { Step::Incomplete } else { Step::Forward(whole) };
    };
    let mut released = 0;
    while let [codec::PUBREL, _, high, low, ..] = bytes[released..] {
        out.extend_from_slice(&[codec::PUBCOMP, 2, high, low]);
        released += ACK_LEN;
    }
    if released > 0 {
        return Step::Used(released);
    }
    let mut whole = 0;
    while bytes.len() - whole >= message_len && bytes[whole] & 0xF0 == codec::PUBLISH {
        let at = whole + packet_id_at;
        out.extend_from_slice(&[answer, 2, bytes[at], bytes[at + 1]]);
        whole += message_len;
    }
    if whole == 0 { Step::Incomplete } else { Step::Forward(whole) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Template;
    use crate::stamp::Stamp;

    const STAMP: Stamp = Stamp { due: 0, flow: 0, sequence: 0 };

    fn publisher(qos: u8) -> (Peer, Template) {
        let template = Template::new("a", qos, false, 16);
        let mut message = Vec::new();
        template.write(&mut message, 7, STAMP);
        let mut peer = Peer::Fresh;
        assert_eq!(peer.step(&message, &mut Vec::new()).unwrap(), Step::Publishes { topic: "a".to_owned() });
        (peer, template)
    }

    #[test]
    fn whole_messages_are_forwarded_and_the_rest_waits() {
        let (mut peer, template) = publisher(0);
        let mut bytes = Vec::new();
        template.write(&mut bytes, 0, STAMP);
        template.write(&mut bytes, 0, STAMP);
        let whole = bytes.len();
        bytes.push(codec::PUBLISH);
        let mut out = Vec::new();
        assert_eq!(peer.step(&bytes, &mut out).unwrap(), Step::Forward(whole));
        assert_eq!(peer.step(&bytes[whole..], &mut out).unwrap(), Step::Incomplete);
        assert!(out.is_empty());
    }

    #[test]
    fn qos_2_is_answered_by_pattern_on_both_sides() {
        let (mut peer, template) = publisher(2);
        let mut bytes = Vec::new();
        template.write(&mut bytes, 0x0102, STAMP);
        let mut out = Vec::new();
        assert_eq!(peer.step(&bytes, &mut out).unwrap(), Step::Forward(bytes.len()));
        assert_eq!(peer.step(&[codec::PUBREL, 2, 1, 2], &mut out).unwrap(), Step::Used(4));
        assert_eq!(out, [codec::PUBREC, 2, 1, 2, codec::PUBCOMP, 2, 1, 2]);
        let mut subscriber = Peer::Subscriber;
        out.clear();
        let acks = [codec::PUBREC, 2, 1, 2, codec::PUBCOMP, 2, 0, 9, codec::PUBACK];
        assert_eq!(subscriber.step(&acks, &mut out).unwrap(), Step::Used(8));
        assert_eq!(out, [codec::PUBREL, 2, 1, 2]);
    }

    #[test]
    fn what_needs_a_meaning_is_refused() {
        let mut out = Vec::new();
        let mut packet = Vec::new();
        codec::connect(&mut packet, "c", false, 0);
        Peer::Fresh.step(&packet, &mut out).unwrap();
        assert!(Frame::split(&out).unwrap().unwrap().expect_connack().is_err());
        packet.clear();
        out.clear();
        codec::subscribe(&mut packet, 1, &["$share/g/t".to_owned()], 1);
        Peer::Fresh.step(&packet, &mut out).unwrap();
        assert!(Frame::split(&out).unwrap().unwrap().expect_suback().is_err());
        packet.clear();
        Template::new("t", 0, true, 16).write(&mut packet, 0, STAMP);
        assert!(Peer::Fresh.step(&packet, &mut out).is_err());
    }
}
