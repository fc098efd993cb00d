//! Topic aliases, both ways [MQTT-3.3.2.3.4].

use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// Aliases the client set: alias n stands at n - 1.
#[derive(Debug, Default)]
pub(crate) struct AliasesIn {
    topics: Vec<Option<Box<str>>>,
}

impl AliasesIn {
    /// Makes an alias mean a topic. `alias` is 1 or more and within the announced maximum.
    pub(crate) fn set(&mut self, alias: u16, topic: &str) {
        let at = usize::from(alias) - 1;
        if self.topics.len() <= at {
            self.topics.resize(at + 1, None);
        }
        match &mut self.topics[at] {
            Some(known) if **known == *topic => {}
            place => *place = Some(topic.into()),
        }
    }

    /// What an alias means.
    pub(crate) fn topic(&self, alias: u16) -> Option<&str> {
        self.topics.get(usize::from(alias).checked_sub(1)?)?.as_deref()
    }
}

/// Aliases the broker set towards a client: the first topics it is sent get one and keep it.
#[derive(Debug)]
pub(crate) struct AliasesOut {
    maximum: u16,
    by_topic: HashMap<Box<str>, u16, FixedState>,
}

/// How a topic is to be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Alias {
    /// In full, without an alias.
    None,
    /// In full, and from now on the alias stands for it.
    Set(u16),
    /// By its alias only.
    Known(u16),
}

impl AliasesOut {
    /// With room for `maximum` aliases, 1 or more.
    pub(crate) fn new(maximum: u16, seed: u64) -> Self {
        Self { maximum, by_topic: HashMap::with_hasher(FixedState::with_seed(seed)) }
    }

    /// How to write a topic now.
    pub(crate) fn of(&mut self, topic: &str) -> Alias {
        if let Some(&alias) = self.by_topic.get(topic) {
            return Alias::Known(alias);
        }
        let next = self.by_topic.len() as u16 + 1;
        if next > self.maximum {
            return Alias::None;
        }
        self.by_topic.insert(topic.into(), next);
        Alias::Set(next)
    }

    /// The topic that was given an alias last was not sent after all.
    pub(crate) fn forget(&mut self, topic: &str) {
        self.by_topic.remove(topic);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_can_be_given_a_new_meaning_by_the_client() {
        let mut aliases = AliasesIn::default();
        assert_eq!(aliases.topic(3), None);
        aliases.set(3, "a");
        aliases.set(3, "b");
        assert_eq!((aliases.topic(3), aliases.topic(1), aliases.topic(0)), (Some("b"), None, None));
    }

    #[test]
    fn the_broker_sets_as_many_aliases_as_the_client_allows() {
        let mut aliases = AliasesOut::new(1, 0);
        assert_eq!(aliases.of("a"), Alias::Set(1));
        assert_eq!(aliases.of("a"), Alias::Known(1));
        assert_eq!(aliases.of("b"), Alias::None);
    }
}
