//! What operators ask for, against a store that is a ledger.

use sluice_cluster::{
    Home, Labels, Placement, Policies, Process, ProtocolRange, Registration, Replicas, ShardId, ShardKey, Weight,
};
use sluice_topic::{Limits, TopicFilter};

use super::*;
use crate::{
    KnownNode, PlanInput,
    ledger::Ledger,
    plan as plan_placement,
    record::{NodeRecord, PLANS_MAX, PlacementHead},
    view::{Reading, planned_node},
};

/// A store, and the time.
struct Store {
    ledger: Ledger<RecordKey, Record>,
    at_ms: u64,
}

impl Store {
    fn new() -> Self {
        Self { ledger: Ledger::default(), at_ms: 0 }
    }

    fn view(&self) -> View {
        let reading = |(key, held): (&RecordKey, &crate::ledger::Versioned<Record>)| Reading {
            raw_key: format!("{key:?}"),
            key: Some(key.clone()),
            found: Ok(Some(held.clone())),
        };
        View::listed(self.ledger.revision(), self.ledger.entries().iter().map(reading))
    }

    fn author(&mut self) -> Author {
        self.at_ms += 1;
        Author { by: label("anna"), at_ms: self.at_ms }
    }

    fn commit(&mut self, commit: &Commit) -> bool {
        self.ledger.commit(commit).is_ok()
    }

    fn put(&mut self, spec: &PolicySpec) -> Result<bool, Refusal> {
        let author = self.author();
        let commit = put(&self.view(), spec, Match::Any, &author)?;
        Ok(commit.is_some_and(|commit| self.commit(&commit)))
    }

    fn restore(&mut self, number: u64) -> Result<bool, Refusal> {
        let author = self.author();
        let commit = restore(&self.view(), number, &author)?;
        Ok(commit.is_some_and(|commit| self.commit(&commit)))
    }

    fn add_node(&mut self, id: u64, phase: NodePhase) {
        let process = Process {
            peer_addresses: vec![],
            client_addresses: vec![],
            build: "1".parse().unwrap(),
            peer_protocol: ProtocolRange::new(1, 1).unwrap(),
            workers: 1,
        };
        let registration = Registration { labels: Labels::default(), weight: Weight::default(), process };
        let node = NodeRecord { registration, labels: Labels::default(), weight: None, phase, since_ms: 0 };
        self.commit(&Commit::new().put(RecordKey::Node(NodeId(id)), Record::Node(node)));
    }

    fn place(&mut self, voters: &[&[u64]]) {
        let head = PlacementHead { version: Version::new(1, 1), keyspaces: sluice_cluster::Keyspaces::default() };
        let ids = |voters: &[u64]| Replicas::first(voters.iter().map(|id| NodeId(*id))).unwrap();
        let shards = voters.iter().enumerate().map(|(nth, voters)| (ShardId(nth as u16), ids(voters))).collect();
        let commit = Commit::new()
            .put(RecordKey::Placement, Record::Placement(head))
            .put(RecordKey::Shards(KeyspaceId::SESSIONS), Record::Shards(shards));
        self.commit(&commit);
    }

    fn input(&self) -> PlanInput {
        let view = self.view();
        let known = |(id, record): (NodeId, &NodeRecord)| {
            (id, KnownNode { node: planned_node(id, record, sluice_cluster::Liveness::Live), report: None })
        };
        PlanInput {
            policies: Policies::clone(view.policies().unwrap()),
            parent: Placement::clone(view.placement().unwrap()),
            nodes: view.nodes().map(known).collect(),
            ..PlanInput::default()
        }
    }
}

fn label(text: &str) -> Label {
    Label::parse(text).unwrap()
}

fn spec(name: &str, filters: &[&str]) -> PolicySpec {
    let filters = filters.iter().map(|text| TopicFilter::parse(text, &Limits::default()).unwrap());
    PolicySpec::new(label(name), filters.collect())
}

fn in_region(spec: PolicySpec, region: &str) -> PolicySpec {
    PolicySpec { home: Home::Region(label(region)), ..spec }
}

#[test]
fn a_keyspace_keeps_its_number_and_a_number_never_comes_back() {
    let mut store = Store::new();
    assert_eq!(store.put(&spec("a", &["a/#"])), Ok(true));
    assert_eq!(store.put(&in_region(spec("a", &["a/#", "b/#"]), "eu")), Ok(true));
    assert_eq!(store.view().policy(&label("a")).unwrap().keyspace.id(), KeyspaceId(2));
    let author = store.author();
    let gone = delete(&store.view(), &label("a"), Match::Any, &author).unwrap();
    assert!(store.commit(&gone));
    assert_eq!(store.put(&spec("a", &["a/#"])), Ok(true));
    assert_eq!(store.view().policy(&label("a")).unwrap().keyspace.id(), KeyspaceId(3));
    assert_eq!(store.put(&spec("sessions", &[])), Ok(true));
    assert_eq!(store.view().policy(&label("sessions")).unwrap().keyspace.id(), KeyspaceId::SESSIONS);
    assert_eq!(store.put(&spec("topics", &["x"])), Err(Refusal::Default { name: label("topics") }));
}

#[test]
fn what_is_so_already_is_not_written() {
    let mut store = Store::new();
    assert_eq!((store.put(&spec("a", &["a/#"])), store.put(&spec("a", &["a/#"]))), (Ok(true), Ok(false)));
    let author = store.author();
    assert_eq!(pause(&store.view(), false, &author), Ok(None));
    assert_eq!(store.view().history().count(), 1);
}

#[test]
fn policies_that_contradict_each_other_are_refused_also_when_they_are_written_at_the_same_time() {
    let mut store = Store::new();
    assert_eq!(store.put(&spec("a", &["a/+"])), Ok(true));
    assert!(matches!(store.put(&spec("b", &["a/+"])), Err(Refusal::Policy(_))));
    let (view, author) = (store.view(), store.author());
    let one = put(&view, &spec("c", &["c"]), Match::Any, &author).unwrap().unwrap();
    let other = put(&view, &spec("d", &["c"]), Match::Any, &author).unwrap().unwrap();
    assert!(store.commit(&one) && !store.commit(&other), "each was good alone");
}

#[test]
fn a_change_made_from_another_state_than_that_which_is_is_refused() {
    let mut store = Store::new();
    let author = store.author();
    let create = Match::At(Revision::ABSENT);
    let first = put(&store.view(), &spec("a", &["a"]), create, &author).unwrap().unwrap();
    assert!(store.commit(&first));
    let at = store.view().modified(&RecordKey::Policy(label("a")));
    assert_eq!(put(&store.view(), &spec("a", &["b"]), create, &author), Err(Refusal::Modified { at }));
    assert!(put(&store.view(), &spec("a", &["b"]), Match::At(at), &author).unwrap().is_some());
}

#[test]
fn a_keyspace_does_not_change_its_number_of_shards() {
    let mut store = Store::new();
    let shards = |count| PolicySpec { shards: Some(count), ..spec("a", &["a"]) };
    assert_eq!(store.put(&shards(8)), Ok(true));
    assert_eq!(store.put(&shards(9)), Err(Refusal::Shards { name: label("a"), shards: 8 }));
    store.place(&[&[1]]);
    let sessions = PolicySpec { shards: Some(8), ..spec("sessions", &[]) };
    assert_eq!(store.put(&sessions), Err(Refusal::Shards { name: label("sessions"), shards: 64 }));
}

#[test]
fn policies_come_back_as_they_were_at_any_intent_that_is_remembered() {
    let mut store = Store::new();
    let specs = [spec("a", &["a/#"]), spec("b", &["b/#"]), in_region(spec("a", &["a/#"]), "eu"), spec("c", &["c"])];
    let states: Vec<Vec<Policy>> = specs
        .iter()
        .map(|spec| {
            store.put(spec).unwrap();
            store.view().own_policies().cloned().collect()
        })
        .collect();
    for number in [2, 4, 1, 3] {
        assert_eq!(store.restore(number), Ok(true));
        assert_eq!(store.view().own_policies().cloned().collect::<Vec<_>>(), states[number as usize - 1]);
    }
    assert_eq!(store.restore(0), Ok(true));
    assert_eq!(store.view().own_policies().count(), 0);
    assert_eq!(store.restore(99), Err(Refusal::Unknown { what: "intent 99".into() }));
    for number in 0..HISTORY_MAX {
        store.put(&in_region(spec("a", &["a/#"]), &format!("r{number}"))).unwrap();
    }
    let history: Vec<u64> = store.view().history().map(|entry| entry.intent).collect();
    assert_eq!(history.len(), HISTORY_MAX);
    assert_eq!(store.restore(3), Err(Refusal::Forgotten { number: 3, since: history[0] - 1 }));
    assert_eq!(store.restore(history[0]), Ok(true));
}

#[test]
fn a_plan_is_applied_once_and_only_to_what_it_was_made_from() {
    let mut store = Store::new();
    let author = store.author();
    let changes = [SpecChange::Put(spec("a", &["a/#"])), SpecChange::Put(spec("b", &["b/#"]))];
    for id in ["p1", "p2"] {
        let (commit, policies) = make(&store.view(), label(id), &changes, &author).unwrap();
        assert!(store.commit(&commit) && policies.iter().count() == 4);
    }
    assert_eq!((store.view().own_policies().count(), store.view().intent().number), (0, 0), "nothing has changed yet");
    let commit = apply(&store.view(), &label("p1"), &author).unwrap();
    assert!(store.commit(&commit));
    assert_eq!((store.view().own_policies().count(), store.view().intent().next_keyspace), (2, 4));
    assert!(matches!(apply(&store.view(), &label("p1"), &author), Err(Refusal::Unknown { .. })));
    assert!(matches!(apply(&store.view(), &label("p2"), &author), Err(Refusal::ParentMoved { .. })));
    let (commit, _) = make(&store.view(), label("p3"), &[SpecChange::Delete(label("a"))], &author).unwrap();
    assert!(store.commit(&commit));
    let late = apply(&store.view(), &label("p3"), &author).unwrap();
    store.place(&[&[1]]);
    assert!(!store.commit(&late), "the placement moved in between");
    assert!(matches!(apply(&store.view(), &label("p3"), &author), Err(Refusal::ParentMoved { .. })));
}

#[test]
fn the_oldest_plans_go_when_there_are_too_many() {
    let mut store = Store::new();
    for number in 0..PLANS_MAX + 3 {
        let author = store.author();
        let changes = [SpecChange::Put(spec("a", &["a"]))];
        let (commit, _) = make(&store.view(), label(&format!("p{number}")), &changes, &author).unwrap();
        assert!(store.commit(&commit));
    }
    assert_eq!(store.view().plans().count(), PLANS_MAX);
    assert!(store.view().plan(&label("p2")).is_none() && store.view().plan(&label("p3")).is_some());
}

#[test]
fn a_preview_shows_where_a_change_ends() {
    let mut store = Store::new();
    store.add_node(1, NodePhase::Active);
    store.add_node(2, NodePhase::Active);
    let input = store.input();
    let settled = crate::rehearse(input).input;
    let author = store.author();
    let on_one = Home::Nodes([NodeId(1)].into());
    let change = SpecChange::Put(PolicySpec { home: on_one, ..spec("sessions", &[]) });
    let (_, policies) = make(&store.view(), label("p"), &[change], &author).unwrap();
    let preview = preview(&settled, policies);
    assert!(preview.is_settled && preview.steps > 1, "{} steps", preview.steps);
    let moved = preview.changes.shards.iter().filter(|(key, _)| key.keyspace == KeyspaceId::SESSIONS);
    let gaining: Vec<_> = moved.flat_map(|(_, change)| change.gaining()).collect();
    assert!(gaining.len() > 20 && gaining.iter().all(|id| *id == NodeId(1)), "{gaining:?}");
    assert!(plan_placement(&settled).report.actions() == 0, "nothing would happen without it");
}

#[test]
fn a_node_is_cordoned_drained_and_back_but_never_back_from_being_removed() {
    let mut store = Store::new();
    store.add_node(1, NodePhase::Active);
    store.add_node(2, NodePhase::Joining);
    let author = store.author();
    for phase in [NodePhase::Cordoned, NodePhase::Draining, NodePhase::Active] {
        let commit = set_phase(&store.view(), NodeId(1), phase, Match::Any, &author).unwrap().unwrap();
        assert!(store.commit(&commit));
        assert_eq!(set_phase(&store.view(), NodeId(1), phase, Match::Any, &author), Ok(None));
    }
    let refused = set_phase(&store.view(), NodeId(2), NodePhase::Draining, Match::Any, &author);
    assert_eq!(refused, Err(Refusal::Phase { node: NodeId(2), phase: NodePhase::Joining }));
    let gone = remove(&store.view(), &store.input(), NodeId(1), false, &author).unwrap();
    assert!(store.commit(&gone));
    let refused = set_phase(&store.view(), NodeId(1), NodePhase::Active, Match::Any, &author);
    assert_eq!(refused, Err(Refusal::Phase { node: NodeId(1), phase: NodePhase::Gone }));
}

#[test]
fn a_node_with_shards_is_removed_only_when_what_it_has_is_given_up_and_only_what_needs_it_is() {
    let mut store = Store::new();
    (1..=3).for_each(|id| store.add_node(id, NodePhase::Active));
    store.place(&[&[1], &[1, 2, 3], &[2]]);
    let author = store.author();
    let refused = remove(&store.view(), &store.input(), NodeId(1), false, &author);
    assert_eq!(refused, Err(Refusal::NotEmpty { node: NodeId(1), shards: 2 }));
    let commit = remove(&store.view(), &store.input(), NodeId(1), true, &author).unwrap();
    assert!(store.commit(&commit));
    let key = ShardKey { keyspace: KeyspaceId::SESSIONS, shard: ShardId(0) };
    assert_eq!(store.view().given_up(), BTreeMap::from([(key, sluice_cluster::Epoch(1))]));
}

#[test]
fn nothing_is_changed_while_something_cannot_be_read() {
    let mut store = Store::new();
    let author = store.author();
    let mut view = store.view();
    let broken = Reading { raw_key: "x".into(), key: Some(RecordKey::Placement), found: Err("torn".into()) };
    view.changed(Revision(9), [broken]);
    let refused = Err(Refusal::Unreadable { reason: "x: torn".into() });
    assert_eq!(pause(&view, true, &author), refused);
    assert_eq!(put(&view, &spec("a", &["a"]), Match::Any, &author), refused);
}
