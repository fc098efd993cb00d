//! MQTT topic names and topic filters: checking them, relating them to each other, and finding at full speed which
//! of millions of them concern a message.
//!
//! * [`check_topic`], [`TopicFilter`], [`ParsedFilter`]: what is valid, and exactly why something is not.
//! * [`matches`](fn@matches), [`covers`], [`intersects`]: how a filter relates to a topic name or to another filter.
//! * [`FilterIndex`]: one value per distinct filter; finds the values of all filters that match a topic name.
//! * [`TopicTree`]: one value per topic name, in order; finds all topic names that match a filter.
//!
//! The crate is pure: no clock, no randomness, no input or output, no threads. Text arrives as `&str`, so UTF-8 is
//! checked by whoever reads the bytes.

mod filter;
mod filter_index;
mod hash;
mod id_table;
mod level;
mod name;
mod pool;
mod relation;
mod topic_tree;

pub use filter::{FilterError, ParsedFilter, TopicFilter};
pub use filter_index::FilterIndex;
pub use name::{LEVELS_MAX, Limits, TOPIC_BYTES_MAX, TopicError, check_topic};
pub use relation::{covers, intersects, matches};
pub use topic_tree::{ScanEnd, TopicTree, topic_order};
