//! The messages of the test: each says in its topic and payload which one it is.

use std::fmt;

use sluice_mqtt::QoS;

/// What order is promised for: the messages of one publisher to one topic at one QoS.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Stream {
    /// The publisher.
    pub publisher: u8,
    /// The topic among the publisher's.
    pub topic: u8,
    /// The QoS of publishing, 1 or 2.
    pub qos: u8,
}

/// A message: the stream and its number in it, from 0.
///
/// At QoS 1 a message that a publisher sends again may become a second message: the copies are told apart by the
/// publisher's connection, which the payload names. So in a stream, messages are published in the order of
/// [`Self::place`], strictly. At QoS 2 there are no copies: what is sent again is the same to the last byte.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Message {
    /// Where it belongs.
    pub stream: Stream,
    /// Which one it is there.
    pub number: u64,
    /// The publisher's connection on which this copy was sent; 0 at QoS 2.
    pub copy: u32,
}

/// Topics of each publisher.
pub const TOPICS: u8 = 2;

impl Stream {
    /// All streams of this many publishers, in the order of [`Self::index`].
    pub fn all(publishers: u8) -> impl Iterator<Item = Self> {
        (0..publishers).flat_map(|publisher| {
            (0..TOPICS).flat_map(move |topic| (1..=2).map(move |qos| Self { publisher, topic, qos }))
        })
    }

    /// Where the stream stands among all.
    #[must_use]
    pub const fn index(self) -> usize {
        (self.publisher as usize * TOPICS as usize + self.topic as usize) * 2 + self.qos as usize - 1
    }

    /// The topic name.
    #[must_use]
    pub fn topic_name(self) -> String {
        format!("crash/{}/{}/q{}", self.publisher, self.topic, self.qos)
    }

    /// The QoS of publishing.
    #[must_use]
    pub const fn qos(self) -> QoS {
        if self.qos == 2 { QoS::ExactlyOnce } else { QoS::AtLeastOnce }
    }

    fn parse(topic: &str) -> Option<Self> {
        let mut levels = topic.strip_prefix("crash/")?.split('/');
        let publisher = levels.next()?.parse().ok()?;
        let topic = levels.next()?.parse().ok()?;
        let qos = levels.next()?.strip_prefix('q')?.parse().ok()?;
        Some(Self { publisher, topic, qos })
    }
}

impl Message {
    /// The message as it is sent on a publisher's connection.
    #[must_use]
    pub const fn sent_on(self, connection: u32) -> Self {
        Self { copy: if self.stream.qos == 2 { 0 } else { connection }, ..self }
    }

    /// Its place in the order of publishing in its stream.
    #[must_use]
    pub const fn place(self) -> (u32, u64) {
        (self.copy, self.number)
    }

    /// The payload: number, copy, and padding up to the length that belongs to the number.
    #[must_use]
    pub fn payload(self) -> Vec<u8> {
        let mut payload = format!("{} {} ", self.number, self.copy).into_bytes();
        payload.resize(payload.len() + self.padding(), b'.');
        payload
    }

    /// Mostly small, now and then several kilobytes.
    const fn padding(self) -> usize {
        match self.number % 97 {
            0 => 5_000,
            rest => rest as usize,
        }
    }

    /// Which message this topic and payload are; `None` when they are none that was ever published.
    #[must_use]
    pub fn parse(topic: &str, payload: &[u8]) -> Option<Self> {
        let stream = Stream::parse(topic)?;
        let mut words = std::str::from_utf8(payload).ok()?.split(' ');
        let number = words.next()?.parse().ok()?;
        let copy = words.next()?.parse().ok()?;
        let message = Self { stream, number, copy };
        (message.payload() == payload).then_some(message)
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.topic_name())
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} #{}", self.stream, self.number)?;
        if self.copy > 0 { write!(f, " (sent on connection {})", self.copy) } else { Ok(()) }
    }
}
