//! What would turn remote deliveries into local ones: read off the observed traffic.

use std::{collections::BTreeMap, fmt};

use sluice_cluster::{Home, KeyspaceId, Label, Placement, Policies, Policy, RemoteSubscribers};
use sluice_topic::{TopicFilter, covers};

use crate::{PlanInput, intent::PolicySpec};

/// Deliveries that were observed, by topic prefix and by the region of the subscribers. Prefixes do not overlap: they are
/// those that the nodes' sketches found to be busy, with the rest left out.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Traffic(BTreeMap<TopicFilter, BTreeMap<Label, u64>>);

impl Traffic {
    /// Adds deliveries of messages whose topics `prefix` matches, to subscribers in a region.
    pub fn add(&mut self, prefix: &TopicFilter, region: &Label, deliveries: u64) {
        let sum = self.0.entry(prefix.clone()).or_default().entry(region.clone()).or_default();
        *sum = sum.saturating_add(deliveries);
    }

    /// The prefixes, with their deliveries by region.
    pub fn iter(&self) -> impl Iterator<Item = (&TopicFilter, &BTreeMap<Label, u64>)> {
        self.0.iter()
    }
}

/// What is worth suggesting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SuggestionBounds {
    /// Fewer deliveries of a prefix are noise.
    pub deliveries_min: u64,
    /// A smaller part of a prefix's deliveries is not worth a move, in percent.
    pub gain_percent_min: u8,
}

impl Default for SuggestionBounds {
    fn default() -> Self {
        Self { deliveries_min: 1_000, gain_percent_min: 20 }
    }
}

/// A better home for a part of the topic space.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Suggestion {
    /// The topics.
    pub prefix: TopicFilter,
    /// Where they should live.
    pub region: Label,
    /// Deliveries observed.
    pub deliveries: u64,
    /// The part of them that is local today, in percent.
    pub local_percent: u8,
    /// The part that would be.
    pub local_percent_then: u8,
}

impl Suggestion {
    /// The part of the deliveries that would become local, in percent.
    #[must_use]
    pub fn gain_percent(&self) -> u8 {
        self.local_percent_then.saturating_sub(self.local_percent)
    }

    /// The policy that would do it: the one that is about just these topics, with another home; or a new one, which is
    /// otherwise as that which they fall under.
    ///
    /// `None`: what is to be done has been done meanwhile, or no name is left.
    #[must_use]
    pub fn policy(&self, policies: &Policies) -> Option<PolicySpec> {
        let under = policies.of(keyspace_of(policies, &self.prefix))?;
        let home = Home::Region(self.region.clone());
        if under.home == home {
            return None;
        }
        let is_own = under.keyspace.filters() == [self.prefix.clone()];
        let name = if is_own { Some(under.name.clone()) } else { free_name(policies, &self.prefix) };
        Some(PolicySpec {
            name: name?,
            filters: vec![self.prefix.clone()],
            shards: None,
            home,
            ..PolicySpec::of(under)
        })
    }
}

impl fmt::Display for Suggestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { prefix, region, .. } = self;
        let gain = self.gain_percent();
        write!(f, "moving {prefix} to region {region} would turn {gain} % of deliveries from remote to local")
    }
}

/// Finds better homes, the one that makes most deliveries local first.
///
/// A delivery is local if its subscriber is in the region where the shard of its topic lives. What operators keep within a
/// home (`deny`) is left alone, and so is a region that has no node to take shards or too few for the policy's replicas.
#[must_use]
pub fn suggest(input: &PlanInput, traffic: &Traffic, bounds: SuggestionBounds) -> Vec<Suggestion> {
    let found = traffic.0.iter().filter_map(|(prefix, regions)| better_home(input, prefix, regions, bounds));
    let mut found: Vec<Suggestion> = found.collect();
    // Deliveries are weighed as percents: which of two is larger by less than one in a hundred does not matter.
    let turned = |of: &Suggestion| u128::from(of.deliveries) * u128::from(of.gain_percent());
    found.sort_by(|a, b| turned(b).cmp(&turned(a)).then_with(|| a.prefix.cmp(&b.prefix)));
    found
}

fn better_home(
    input: &PlanInput,
    prefix: &TopicFilter,
    regions: &BTreeMap<Label, u64>,
    bounds: SuggestionBounds,
) -> Option<Suggestion> {
    let keyspace = keyspace_of(&input.policies, prefix);
    let policy = input.policies.of(keyspace)?;
    let total: u64 = regions.values().fold(0, |sum, count| sum.saturating_add(*count));
    if policy.remote_subscribers == RemoteSubscribers::Deny || total < bounds.deliveries_min.max(1) {
        return None;
    }
    let can_take = |region: &Label| {
        let nodes = input.nodes.values().map(|known| &known.node);
        nodes.filter(|node| node.phase.takes_shards() && node.region() == Some(region)).count()
            >= policy.replicas.value()
    };
    let is_home = |region: &Label| policy.home == Home::Region(region.clone());
    let candidates = regions.iter().filter(|(region, _)| !is_home(region) && can_take(region));
    let (region, most) = candidates.max_by(|(a, x), (b, y)| x.cmp(y).then_with(|| b.cmp(a)))?;
    let (local, placed) = local_today(input, keyspace, regions);
    let suggestion = Suggestion {
        prefix: prefix.clone(),
        region: region.clone(),
        deliveries: total,
        local_percent: percent(local, u128::from(total) * placed),
        local_percent_then: percent(u128::from(*most), u128::from(total)),
    };
    (suggestion.gain_percent() >= bounds.gain_percent_min.max(1)).then_some(suggestion)
}

/// The keyspace that most specifically covers a prefix.
fn keyspace_of(policies: &Policies, prefix: &TopicFilter) -> KeyspaceId {
    let keyspaces = policies.keyspaces();
    let covering =
        keyspaces.iter().flat_map(|keyspace| keyspace.filters().iter().map(|filter| (filter, keyspace.id())));
    let covering = covering.filter(|(filter, _)| covers(filter.as_str(), prefix.as_str()));
    // Of filters that cover one prefix the longer one says more.
    covering.max_by_key(|(filter, _)| filter.as_str().len()).map_or(KeyspaceId::TOPICS, |(_, id)| id)
}

/// A name for a policy of a prefix that no policy has: `device/7/#` becomes `device-7`.
fn free_name(policies: &Policies, prefix: &TopicFilter) -> Option<Label> {
    let levels = prefix.as_str().trim_end_matches("/#");
    let kept = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_') { c } else { '-' };
    let base: String = levels.chars().map(kept).take(NAME_BYTES_MAX).collect();
    let base = base.trim_matches('-');
    let base = if base.is_empty() { "topics-of" } else { base };
    let is_free = |name: &Label| policies.iter().all(|policy: &Policy| policy.name != *name);
    let numbered = (2..).map(|nth| format!("{base}-{nth}")).take(policies.iter().count() + 1);
    let names = [base.to_owned()].into_iter().chain(numbered).filter_map(|name| Label::parse(&name).ok());
    names.into_iter().find(is_free)
}

/// Local deliveries if the topics of the prefix are spread evenly over the shards, times the number of those shards; and
/// that number.
fn local_today(input: &PlanInput, keyspace: KeyspaceId, regions: &BTreeMap<Label, u64>) -> (u128, u128) {
    let homes = shard_regions(input, &input.parent, keyspace);
    let shards: u128 = homes.values().map(|count| u128::from(*count)).sum();
    let local = regions
        .iter()
        .map(|(region, count)| u128::from(*count) * u128::from(homes.get(&Some(region)).copied().unwrap_or(0)));
    (local.sum(), shards)
}

/// How many shards of a keyspace live in each region: each counted where the first of its voters is.
fn shard_regions<'a>(
    input: &'a PlanInput,
    placement: &Placement,
    keyspace: KeyspaceId,
) -> BTreeMap<Option<&'a Label>, u64> {
    let mut regions = BTreeMap::new();
    for (_, replicas) in placement.shards().iter().filter(|(key, _)| key.keyspace == keyspace) {
        let home = replicas.target().next().and_then(|id| input.nodes.get(&id));
        *regions.entry(home.and_then(|known| known.node.region())).or_insert(0) += 1;
    }
    regions
}

/// Of a topic's levels in a name; a number may follow.
const NAME_BYTES_MAX: usize = 40;

fn percent(part: u128, whole: u128) -> u8 {
    u8::try_from((part * 100).checked_div(whole).unwrap_or(0)).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use sluice_cluster::{Keyspace, Policies, ReplicaCount};
    use sluice_topic::Limits;

    use super::*;

    fn label(text: &str) -> Label {
        Label::parse(text).unwrap()
    }

    fn suggestion(prefix: &str) -> Suggestion {
        let prefix = TopicFilter::parse(prefix, &Limits::default()).unwrap();
        Suggestion { prefix, region: label("eu"), deliveries: 1, local_percent: 1, local_percent_then: 9 }
    }

    fn policy(name: &str, id: u16, filter: &str) -> Policy {
        let filter = TopicFilter::parse(filter, &Limits::default()).unwrap();
        let keyspace = Keyspace::new(KeyspaceId(id), vec![filter], 8).unwrap();
        Policy { replicas: ReplicaCount::new(3).unwrap(), ..Policy::new(label(name), keyspace) }
    }

    #[test]
    fn a_suggestion_brings_a_policy_of_its_own_that_is_otherwise_as_the_one_it_falls_under() {
        let policies = Policies::new([policy("device", 2, "device/#"), policy("device-7", 3, "other/#")]).unwrap();
        let spec = suggestion("device/7/#").policy(&policies).unwrap();
        assert_eq!((spec.name.as_str(), spec.replicas.value()), ("device-7-2", 3));
        assert_eq!((spec.home, spec.filters.len()), (Home::Region(label("eu")), 1));
        let free = suggestion("Ünit/9 a/#").policy(&Policies::default()).unwrap();
        assert_eq!((free.name.as_str(), free.replicas.value()), ("nit-9-a", 1));
        assert_eq!(suggestion("/#").policy(&Policies::default()).unwrap().name.as_str(), "topics-of");
    }

    #[test]
    fn a_policy_of_just_these_topics_gets_another_home_and_what_is_done_is_not_suggested_again() {
        let own = policy("seven", 2, "device/7/#");
        let policies = Policies::new([own.clone()]).unwrap();
        assert_eq!(suggestion("device/7/#").policy(&policies).unwrap().name.as_str(), "seven");
        let done = Policies::new([Policy { home: Home::Region(label("eu")), ..own }]).unwrap();
        assert_eq!(suggestion("device/7/#").policy(&done), None);
    }
}
