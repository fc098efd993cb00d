//! What the generator writes at the start of every payload, to recognise the message when it comes back.

/// Sixteen bytes: when the message was due, which flow sent it, and its number in the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Nanoseconds of the generator's clock when the message was sent or, in open loop, was to be sent.
    pub(crate) due: u64,
    /// Index of the flow that sent it.
    pub(crate) flow: u32,
    /// Number of the message in its flow; wraps.
    pub(crate) sequence: u32,
}

impl Stamp {
    /// Bytes a stamp takes; no payload is shorter.
    pub(crate) const LEN: usize = 16;

    /// The stamp as payload bytes.
    pub(crate) fn encode(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(&self.due.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.flow.to_le_bytes());
        bytes[12..].copy_from_slice(&self.sequence.to_le_bytes());
        bytes
    }

    /// The stamp at the start of `payload`; `None` if the payload is too short to hold one.
    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let (due, rest) = payload.split_first_chunk::<8>()?;
        let (flow, rest) = rest.split_first_chunk::<4>()?;
        let (sequence, _) = rest.split_first_chunk::<4>()?;
        Some(Self {
            due: u64::from_le_bytes(*due),
            flow: u32::from_le_bytes(*flow),
            sequence: u32::from_le_bytes(*sequence),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_survives_the_trip_through_a_payload() {
        let stamp = Stamp { due: u64::MAX - 7, flow: 99, sequence: u32::MAX };
        let mut payload = stamp.encode().to_vec();
        payload.extend_from_slice(b"padding");
        assert_eq!(Stamp::decode(&payload), Some(stamp));
    }

    #[test]
    fn a_payload_that_is_too_short_has_no_stamp() {
        assert_eq!(Stamp::decode(&[0; Stamp::LEN - 1]), None);
    }
}
