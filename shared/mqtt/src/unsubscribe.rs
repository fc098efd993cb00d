//! UNSUBSCRIBE.

use std::fmt;

use crate::{
    DecodeError, DecodeErrorKind, UserProperties, Version,
    property::{Properties, PropertySink, refuse},
    reader::Reader,
    sink::{Body, PropertyBlock, Sink},
};

/// An UNSUBSCRIBE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unsubscribe<'a> {
    /// Packet identifier; never 0.
    pub packet_id: u16,
    /// Version 5.
    pub user_properties: UserProperties<'a>,
    /// What is unsubscribed from; at least one.
    pub filters: TopicFilters<'a>,
}

impl<'a> Unsubscribe<'a> {
    pub(crate) fn decode(version: Version, body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let packet_id = reader.packet_id()?;
        let mut user_properties = UserProperties::EMPTY;
        if version.has_properties() {
            let mut properties = Properties::open(&mut reader)?;
            if let Some(id) = properties.next_id()? {
                return Err(refuse(id));
            }
            user_properties = properties.user_properties();
        }
        let filters = TopicFilters::decode(&mut reader)?;
        Ok(Self { packet_id, user_properties, filters })
    }
}

impl PropertyBlock for Unsubscribe<'_> {
    fn write_properties<S: Sink>(&self, sink: &mut S) {
        sink.user_properties(self.user_properties);
    }
}

impl Body for Unsubscribe<'_> {
    fn write_body<S: Sink>(&self, version: Version, sink: &mut S) {
        sink.u16(self.packet_id);
        if version.has_properties() {
            self.write_block(sink);
        }
        self.filters.iter().for_each(|filter| sink.string(filter));
    }
}

/// The topic filters of an UNSUBSCRIBE, in order: those of a decoded packet, or a slice to encode.
#[derive(Clone, Copy)]
pub struct TopicFilters<'a>(Source<'a>);

#[derive(Clone, Copy)]
enum Source<'a> {
    /// Filters that were checked.
    Block {
        block: &'a [u8],
        count: u32,
    },
    List(&'a [&'a str]),
}

impl<'a> TopicFilters<'a> {
    /// All that is left of a packet.
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let block = reader.rest();
        let mut count = 0;
        while !reader.is_empty() {
            reader.string()?;
            count += 1;
        }
        if count == 0 {
            return Err(DecodeErrorKind::NoFilters.into());
        }
        Ok(Self(Source::Block { block, count }))
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self.0 {
            Source::Block { count, .. } => count as usize,
            Source::List(list) => list.len(),
        }
    }

    /// Whether there are none; never in a decoded packet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + 'a {
        let (block, list): (&[u8], &[&str]) = match self.0 {
            Source::Block { block, .. } => (block, &[]),
            Source::List(list) => (&[], list),
        };
        let mut reader = Reader::new(block);
        std::iter::from_fn(move || reader.string().ok()).chain(list.iter().copied())
    }
}

impl<'a> From<&'a [&'a str]> for TopicFilters<'a> {
    fn from(list: &'a [&'a str]) -> Self {
        Self(Source::List(list))
    }
}

impl PartialEq for TopicFilters<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for TopicFilters<'_> {}

impl fmt::Debug for TopicFilters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
