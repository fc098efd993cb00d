//! Topic filters: what a SUBSCRIBE names, with or without a shared group.

use std::error::Error;
use std::fmt;

use crate::name::Limits;

/// A valid topic filter without a `$share` prefix.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TopicFilter(Box<str>);

impl TopicFilter {
    /// Parses a filter that belongs to no shared group.
    ///
    /// Refuses what [`ParsedFilter::parse`] refuses, and `$share/…` with [`FilterError::UnexpectedShare`].
    pub fn parse(filter: &str, limits: &Limits) -> Result<Self, FilterError> {
        check_size(filter, limits)?;
        check_levels(filter, limits)?;
        Ok(Self(filter.into()))
    }

    /// The filter as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the filter has no wildcard, and so matches exactly the topic name it spells.
    pub fn is_exact(&self) -> bool {
        !self.0.bytes().any(|byte| byte == b'+' || byte == b'#')
    }

    /// Whether the filter starts with `$`, and so matches only topic names that do [MQTT-4.7.2-1].
    pub fn starts_with_dollar(&self) -> bool {
        self.0.starts_with('$')
    }
}

impl fmt::Display for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for TopicFilter {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// What the topic filter field of a SUBSCRIBE or UNSUBSCRIBE says: a filter and perhaps a shared group.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ParsedFilter {
    /// The share name of `$share/{group}/{filter}`, if it is one.
    pub group: Option<Box<str>>,
    /// The filter proper.
    pub filter: TopicFilter,
}

impl ParsedFilter {
    /// Parses the field as sent: `{filter}` or `$share/{group}/{filter}` [MQTT-4.8.2-1] [MQTT-4.8.2-2].
    pub fn parse(field: &str, limits: &Limits) -> Result<Self, FilterError> {
        check_size(field, limits)?;
        let Some(shared) = field.strip_prefix(SHARE_PREFIX) else {
            check_levels(field, limits)?;
            return Ok(Self { group: None, filter: TopicFilter(field.into()) });
        };
        let (group, filter) = shared.split_once('/').ok_or(FilterError::ShareWithoutFilter)?;
        if group.is_empty() {
            return Err(FilterError::ShareWithoutGroup);
        }
        if group.contains(['+', '#', '\0']) {
            return Err(FilterError::ShareGroupWithWildcard);
        }
        if filter.is_empty() {
            return Err(FilterError::ShareWithoutFilter);
        }
        check_levels(filter, limits)?;
        Ok(Self { group: Some(group.into()), filter: TopicFilter(filter.into()) })
    }
}

impl fmt::Display for ParsedFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(group) = &self.group {
            write!(f, "{SHARE_PREFIX}{group}/")?;
        }
        self.filter.fmt(f)
    }
}

/// Why a string is not a topic filter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum FilterError {
    /// It has no characters [MQTT-4.7.3-1].
    Empty,
    /// It has more bytes than the limit.
    TooLong {
        /// Bytes it has.
        bytes: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// It has more levels than the limit.
    TooManyLevels {
        /// Levels it has.
        levels: usize,
        /// Levels allowed.
        max: usize,
    },
    /// It contains U+0000 [MQTT-4.7.3-2].
    Nul {
        /// The level with it, counted from 0.
        level: usize,
    },
    /// A `+` or `#` shares its level with other characters [MQTT-4.7.1-1] [MQTT-4.7.1-2].
    WildcardNotAlone {
        /// The level with it, counted from 0.
        level: usize,
    },
    /// A level follows `#` [MQTT-4.7.1-1].
    HashNotLast {
        /// The level of the `#`, counted from 0.
        level: usize,
    },
    /// `$share//…`: the share name is empty [MQTT-4.8.2-1].
    ShareWithoutGroup,
    /// The share name contains `+`, `#` or U+0000 [MQTT-4.8.2-2].
    ShareGroupWithWildcard,
    /// `$share/group` or `$share/group/`: nothing to subscribe to [MQTT-4.8.2-2].
    ShareWithoutFilter,
    /// `$share/` where only a plain filter may stand, as inside another shared subscription.
    UnexpectedShare,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Empty => f.write_str("the topic filter is empty"),
            Self::TooLong { bytes, max } => write!(f, "the topic filter has {bytes} bytes, more than {max}"),
            Self::TooManyLevels { levels, max } => write!(f, "the topic filter has {levels} levels, more than {max}"),
            Self::Nul { level } => write!(f, "level {level} of the topic filter contains U+0000"),
            Self::WildcardNotAlone { level } => {
                write!(f, "level {level} of the topic filter mixes a wildcard with other characters")
            }
            Self::HashNotLast { level } => write!(f, "level {level} of the topic filter is # but not the last level"),
            Self::ShareWithoutGroup => f.write_str("the shared subscription names no group"),
            Self::ShareGroupWithWildcard => f.write_str("the group of the shared subscription contains +, # or U+0000"),
            Self::ShareWithoutFilter => f.write_str("the shared subscription names no topic filter"),
            Self::UnexpectedShare => f.write_str("$share/ is not allowed here"),
        }
    }
}

impl Error for FilterError {}

fn check_size(filter: &str, limits: &Limits) -> Result<(), FilterError> {
    if filter.is_empty() {
        return Err(FilterError::Empty);
    }
    if filter.len() > limits.topic_bytes_max {
        return Err(FilterError::TooLong { bytes: filter.len(), max: limits.topic_bytes_max });
    }
    Ok(())
}

fn check_levels(filter: &str, limits: &Limits) -> Result<(), FilterError> {
    if filter.starts_with(SHARE_PREFIX) {
        return Err(FilterError::UnexpectedShare);
    }
    let levels = filter.bytes().filter(|&byte| byte == b'/').count() + 1;
    if levels > limits.levels_max {
        return Err(FilterError::TooManyLevels { levels, max: limits.levels_max });
    }
    for (level, text) in filter.split('/').enumerate() {
        if text.contains('\0') {
            return Err(FilterError::Nul { level });
        }
        if text.len() > 1 && text.contains(['+', '#']) {
            return Err(FilterError::WildcardNotAlone { level });
        }
        if text == "#" && level + 1 != levels {
            return Err(FilterError::HashNotLast { level });
        }
    }
    Ok(())
}

const SHARE_PREFIX: &str = "$share/";

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(field: &str) -> Option<FilterError> {
        ParsedFilter::parse(field, &Limits::default()).err()
    }

    #[test]
    fn t4_a_filter_over_the_level_limit_is_refused() {
        assert_eq!(refusal(&"/".repeat(127)), None);
        assert_eq!(refusal(&"/".repeat(4000)), Some(FilterError::TooManyLevels { levels: 4001, max: 128 }));
        assert_eq!(refusal(&"/".repeat(65_000)), Some(FilterError::TooLong { bytes: 65_000, max: 4096 }));
    }

    #[test]
    fn t6_odd_but_legal_filters_pass() {
        for field in
            ["$x/+", "$", "//", "/", "a/", "+/", "/+", "/#", "#", "+", "+/+/#", "$SYS/#", "$share", "$shared/g/t"]
        {
            let parsed = ParsedFilter::parse(field, &Limits::default()).unwrap();
            assert_eq!((parsed.group.as_deref(), parsed.filter.as_str()), (None, field));
            assert_eq!(parsed.to_string(), field);
        }
    }

    #[test]
    fn t7_misplaced_wildcards_are_refused_with_their_level() {
        assert_eq!(refusal(""), Some(FilterError::Empty));
        assert_eq!(refusal("a/#/b"), Some(FilterError::HashNotLast { level: 1 }));
        assert_eq!(refusal("#/"), Some(FilterError::HashNotLast { level: 0 }));
        assert_eq!(refusal("a#"), Some(FilterError::WildcardNotAlone { level: 0 }));
        assert_eq!(refusal("x/a+"), Some(FilterError::WildcardNotAlone { level: 1 }));
        assert_eq!(refusal("+a/b"), Some(FilterError::WildcardNotAlone { level: 0 }));
        assert_eq!(refusal("##"), Some(FilterError::WildcardNotAlone { level: 0 }));
        assert_eq!(refusal("x/\0"), Some(FilterError::Nul { level: 1 }));
    }

    #[test]
    fn t8_malformed_shared_subscriptions_are_refused() {
        assert_eq!(refusal("$share//t"), Some(FilterError::ShareWithoutGroup));
        assert_eq!(refusal("$share/"), Some(FilterError::ShareWithoutFilter));
        assert_eq!(refusal("$share/g"), Some(FilterError::ShareWithoutFilter));
        assert_eq!(refusal("$share/g/"), Some(FilterError::ShareWithoutFilter));
        assert_eq!(refusal("$share/a+b/t"), Some(FilterError::ShareGroupWithWildcard));
        assert_eq!(refusal("$share/#/t"), Some(FilterError::ShareGroupWithWildcard));
        assert_eq!(refusal("$share/g/#/x"), Some(FilterError::HashNotLast { level: 0 }));
        assert_eq!(refusal("$share/g/$share/h/x"), Some(FilterError::UnexpectedShare));
        assert_eq!(TopicFilter::parse("$share/g/x", &Limits::default()), Err(FilterError::UnexpectedShare));
    }

    #[test]
    fn a_shared_subscription_is_split_into_group_and_filter() {
        let parsed = ParsedFilter::parse("$share/g//a/+", &Limits::default()).unwrap();
        assert_eq!((parsed.group.as_deref(), parsed.filter.as_str()), (Some("g"), "/a/+"));
        assert_eq!(parsed.to_string(), "$share/g//a/+");
    }

    #[test]
    fn a_filter_knows_whether_it_is_exact_and_reserved() {
        let parse = |text| TopicFilter::parse(text, &Limits::default()).unwrap();
        assert!(parse("a/b").is_exact() && !parse("a/+").is_exact() && !parse("#").is_exact());
        assert!(parse("$SYS/#").starts_with_dollar() && !parse("+/$SYS").starts_with_dollar());
    }
}
