//! Which keyspace a topic falls into, and which sets are refused.

use proptest::prelude::*;
use sluice_topic::Limits;

use super::*;
use crate::Sharding;

fn filter(text: &str) -> TopicFilter {
    TopicFilter::parse(text, &Limits::default()).unwrap()
}

fn keyspace(id: u16, filters: &[&str]) -> Keyspace {
    Keyspace::new(KeyspaceId(id), filters.iter().map(|text| filter(text)).collect(), 8).unwrap()
}

#[test]
fn the_most_specific_filter_wins() {
    let all = Keyspaces::new([keyspace(2, &["a/#"]), keyspace(3, &["a/b/#", "x"]), keyspace(4, &["a/+/c"])]).unwrap();
    let of = |topic| all.shard_of_topic(topic).keyspace.0;
    assert_eq!([of("a"), of("a/z"), of("a/b"), of("a/b/c"), of("a/z/c"), of("x"), of("y")], [2, 2, 3, 3, 4, 3, 1]);
    assert_eq!(all.shard_of_topic("$SYS/a").keyspace, KeyspaceId::TOPICS);
}

#[test]
fn filters_that_match_the_same_topics_are_refused() {
    let tie = |a: &[&str], b: &[&str]| Keyspaces::new([keyspace(2, a), keyspace(3, b)]).unwrap_err().to_string();
    assert_eq!(tie(&["a/b"], &["a/b"]), "keyspaces k3 and k2 both claim the topics of a/b");
    assert_eq!(tie(&["/#"], &["/+/#"]), "keyspaces k2 and k3 both claim the topics of /#");
    assert_eq!(tie(&["#"], &["a"]), "keyspaces k2 and topics both claim the topics of #");
    assert_eq!(tie(&["+/#"], &["a"]), "keyspaces k2 and topics both claim the topics of +/#");
    assert_eq!(tie(&["a", "a"], &["b"]), "keyspaces k2 and k2 both claim the topics of a");
}

#[test]
fn bounds_and_doubles_are_refused() {
    let id = KeyspaceId(2);
    assert_eq!(Keyspace::new(id, vec![filter("a")], 0), Err(KeyspaceError::Shards { id, shards: 0 }));
    assert_eq!(Keyspace::new(id, vec![filter("a")], 4097), Err(KeyspaceError::Shards { id, shards: 4097 }));
    assert_eq!(Keyspace::new(id, Vec::new(), 1), Err(KeyspaceError::Filters { id, filters: 0 }));
    let sessions = Keyspace::new(KeyspaceId::SESSIONS, vec![filter("a")], 1);
    assert_eq!(sessions, Err(KeyspaceError::Filters { id: KeyspaceId::SESSIONS, filters: 1 }));
    assert_eq!(Keyspaces::new([keyspace(2, &["a"]), keyspace(2, &["b"])]), Err(KeyspaceError::Twice { id }));
    let many = (2..300).map(|id| keyspace(id, &[&format!("t/{id}")]));
    assert_eq!(Keyspaces::new(many), Err(KeyspaceError::TooMany { keyspaces: 300 }));
}

#[test]
fn the_default_keyspaces_hash_as_one_node_does() {
    let (all, one) = (Keyspaces::default(), Sharding::new(SHARDS_DEFAULT, 4));
    assert_eq!(Keyspaces::new([]), Ok(all.clone()));
    for key in ["sensor-1", "", "a/b/c", "$SYS/x"] {
        assert_eq!(all.shard_of_client(key), ShardKey { keyspace: KeyspaceId::SESSIONS, shard: one.of_client(key) });
        assert_eq!(all.shard_of_topic(key), ShardKey { keyspace: KeyspaceId::TOPICS, shard: one.of_topic(key) });
    }
}

proptest! {
    #[test]
    fn no_other_matching_filter_is_covered_by_the_one_that_wins(
        filters in prop::collection::btree_set("[ab+](/[ab+]){0,2}(/#)?", 1..8),
        topic in "[ab](/[ab]){0,3}",
    ) {
        let parts = filters.iter().zip(2..).map(|(text, id)| keyspace(id, &[text]));
        let Ok(all) = Keyspaces::new(parts) else { return Ok(()) };
        let won = all.shard_of_topic(&topic).keyspace;
        let matching: Vec<_> = filters.iter().zip(2..).filter(|(text, _)| matches(text, &topic)).collect();
        let Some((winner, _)) = matching.iter().find(|(_, id)| KeyspaceId(*id) == won) else {
            prop_assert!(matching.is_empty() && won == KeyspaceId::TOPICS);
            return Ok(());
        };
        for (other, id) in &matching {
            prop_assert!(KeyspaceId(*id) == won || !covers(winner, other), "{} before {}", winner, other);
        }
    }
}
