//! One promise of the protocol each.

use std::time::Duration;

use sluice_cluster::{NodeId, Version};
use sluice_discovery::{
    ClientOutput, ClientStream, CloseReason, Down, Refusal, ResourceType, Response, SavedError, Timing, Warming,
};

use crate::world::{World, content, full, in_effect, is_protocol_error, name};

const SECOND: Duration = Duration::from_secs(1);

/// A node that holds something of every type.
fn settled_world() -> World {
    let mut world = World::new(1);
    world.publish(ResourceType::Nodes, &content(&[("n1", "a"), ("n2", "b")]));
    world.publish(ResourceType::Placement, &content(&[("s1", "n1"), ("s2", "n2")]));
    world.publish(ResourceType::Routes, &content(&[("r1", "x"), ("r2", "y")]));
    world.publish(ResourceType::Policy, &content(&[("p", "1")]));
    world.connect();
    world.run(SECOND);
    assert!(world.server().is_current());
    world.outputs.clear();
    world.trace.clear();
    world
}

fn responses(world: &World) -> Vec<&str> {
    world.trace.iter().map(String::as_str).filter(|line| line.contains("Response(")).collect()
}

#[test]
fn a_new_node_gets_every_type_in_order_and_then_settles() {
    let mut world = settled_world();
    world.connect();
    world.run(SECOND);
    assert_eq!(responses(&world).len(), 0, "a node that has everything is sent nothing");
    let mut fresh = World::new(2);
    for (kind, row) in ResourceType::ALL.into_iter().zip(["n1", "n1", "r", "p"]) {
        fresh.publish(kind, &content(&[(row, "n1")]));
    }
    fresh.connect();
    fresh.run(SECOND);
    let order: Vec<ResourceType> = fresh.outputs.iter().filter_map(applied).collect();
    assert_eq!(order, ResourceType::ALL);
}

fn applied(output: &ClientOutput) -> Option<ResourceType> {
    match output {
        ClientOutput::Applied(applied) => Some(applied.kind),
        ClientOutput::Refused { .. } | ClientOutput::Settled | ClientOutput::Close(..) => None,
    }
}

#[test]
fn a_change_travels_as_a_delta_of_what_has_changed() {
    let mut world = settled_world();
    world.publish(ResourceType::Routes, &content(&[("r1", "x"), ("r3", "z")]));
    world.run(SECOND);
    let sent = responses(&world);
    assert_eq!(sent.len(), 1);
    assert!(sent[0].contains("base: Some") && sent[0].contains("r3") && !sent[0].contains("\"r1\""), "{}", sent[0]);
    assert_eq!(in_effect(&world.node, ResourceType::Routes), [name("r1"), name("r3")].into());
}

#[test]
fn changes_coalesce_while_a_response_is_under_way() {
    let mut world = settled_world();
    world.delay_ms_max = 0;
    for count in 0..50 {
        world.publish(ResourceType::Routes, &content(&[("r1", &format!("x{count}"))]));
        if count == 0 {
            world.step(Duration::ZERO);
        }
    }
    world.run(SECOND);
    assert_eq!(responses(&world).len(), 2, "the first change, and all that followed it as one");
    assert!(world.server().is_current());
}

#[test]
fn what_a_node_removes_goes_last_and_only_when_all_types_have_arrived() {
    let mut world = settled_world();
    world.publish(ResourceType::Nodes, &content(&[("n2", "b"), ("n3", "c")]));
    world.publish(ResourceType::Placement, &content(&[("s1", "poison"), ("s2", "n2")]));
    world.run(SECOND);
    assert!(world.refusals().len() == 1 && in_effect(&world.node, ResourceType::Nodes).contains(&name("n1")));
    world.publish(ResourceType::Placement, &content(&[("s1", "n3"), ("s2", "n2")]));
    world.run(SECOND);
    assert!(world.outputs.contains(&ClientOutput::Settled));
    assert_eq!(in_effect(&world.node, ResourceType::Nodes), [name("n2"), name("n3")].into());
}

#[test]
fn a_refused_response_is_not_sent_again_until_the_type_changes() {
    let mut world = settled_world();
    world.publish(ResourceType::Policy, &content(&[("p", "poison")]));
    world.run(SECOND * 30);
    world.cut();
    world.connect();
    world.run(SECOND * 30);
    assert_eq!(responses(&world).len(), 1, "neither time nor a reconnection brings it again");
    let status = world.server().status().of(ResourceType::Policy);
    assert!(status.refused.is_some() && status.version < Version::new(1, 5));
    world.publish(ResourceType::Policy, &content(&[("p", "2")]));
    world.run(SECOND);
    assert!(world.server().is_current());
}

#[test]
fn a_refusal_is_reconsidered_when_what_it_refers_to_has_arrived() {
    let mut world = settled_world();
    world.publish(ResourceType::Placement, &content(&[("s1", "n9"), ("s2", "n2")]));
    world.run(SECOND);
    assert_eq!(world.refusals().len(), 1);
    world.publish(ResourceType::Nodes, &content(&[("n1", "a"), ("n2", "b"), ("n9", "c")]));
    world.run(SECOND);
    assert!(world.server().is_current(), "the same placement is good now");
}

type Spoil = Box<dyn Fn(&mut Response)>;

#[test]
fn i26_a_node_refuses_what_is_older_or_empty_or_damaged_and_keeps_what_it_has() {
    let mut good = full(ResourceType::Routes, Version::new(1, 99), &content(&[("r1", "x")]));
    let cases: [(Refusal, Spoil); 5] = [
        (Refusal::Regressed, Box::new(|push| push.version = Version::new(1, 1))),
        (Refusal::Regressed, Box::new(|push| push.version = Version::new(0, 700))),
        (Refusal::Base, Box::new(|push| push.base = Some(Version::new(1, 98)))),
        (Refusal::Digest, Box::new(|push| push.digest.0 ^= 1)),
        (
            Refusal::Empty,
            Box::new(|push| {
                push.upserts.clear();
                push.digest.0 = 0;
            }),
        ),
    ];
    good.nonce.0 = 5;
    for (wanted, spoil) in cases {
        let mut world = settled_world();
        let before = world.node.export();
        let mut push = good.clone();
        spoil(&mut push);
        world.inject(Down::Response(push));
        assert_eq!(world.refusals(), [&wanted]);
        assert_eq!(world.node.export(), before);
    }
}

#[test]
fn a_response_over_the_bound_is_refused_however_it_is_cut() {
    let mut world = settled_world();
    let before = world.node.export();
    let large = "x".repeat(300);
    let rows: Vec<(String, &str)> = (0..400).map(|i| (format!("r{i}"), large.as_str())).collect();
    let rows: Vec<(&str, &str)> = rows.iter().map(|(name, body)| (name.as_str(), *body)).collect();
    let whole = full(ResourceType::Routes, Version::new(1, 99), &content(&rows));
    for (at, resource) in whole.upserts.iter().enumerate() {
        let mut part = whole.clone();
        (part.part, part.last, part.upserts) = (at as u32, at + 1 == rows.len(), vec![resource.clone()]);
        world.inject(Down::Response(part));
    }
    assert_eq!(world.refusals(), [&Refusal::TooLarge]);
    assert_eq!(world.node.export(), before);
}

#[test]
fn parts_out_of_place_close_the_connection_and_change_nothing() {
    let mut world = settled_world();
    let before = world.node.export();
    let mut part = full(ResourceType::Routes, Version::new(1, 99), &content(&[("r1", "x")]));
    part.part = 1;
    world.inject(Down::Response(part));
    assert!(world.outputs.iter().any(is_protocol_error));
    assert_eq!(world.node.export(), before);
}

#[test]
fn a_node_that_was_away_resumes_with_what_it_missed() {
    let mut world = settled_world();
    world.cut();
    world.publish(ResourceType::Routes, &content(&[("r1", "x"), ("r2", "y"), ("r3", "z")]));
    world.connect();
    world.run(SECOND);
    let sent = responses(&world);
    assert!(sent.len() == 1 && sent[0].contains("base: Some") && !sent[0].contains("\"r1\""), "{sent:?}");
}

#[test]
fn a_node_that_was_away_too_long_gets_the_full_state() {
    let mut world = settled_world();
    world.cut();
    let many: Vec<String> = (0..40).map(|i| format!("route-{i}")).collect();
    let rows: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "x")).collect();
    world.publish(ResourceType::Routes, &content(&rows));
    world.publish(ResourceType::Routes, &content(&[("r9", "x")]));
    world.connect();
    world.run(SECOND);
    let sent = responses(&world);
    assert!(sent.len() == 1 && sent[0].contains("base: None"), "{sent:?}");
    assert_eq!(in_effect(&world.node, ResourceType::Routes), [name("r9")].into());
}

#[test]
fn a_new_leader_with_the_same_content_sends_none_of_it() {
    let mut world = settled_world();
    world.fail_over(Warming::default());
    world.publish(ResourceType::Nodes, &content(&[("n1", "a"), ("n2", "b")]));
    world.publish(ResourceType::Placement, &content(&[("s1", "n1"), ("s2", "n2")]));
    world.publish(ResourceType::Routes, &content(&[("r1", "x"), ("r2", "y")]));
    world.publish(ResourceType::Policy, &content(&[("p", "1")]));
    world.connect();
    world.run(SECOND);
    assert!(world.server().is_current());
    assert!(responses(&world).iter().all(|sent| sent.contains("upserts: [], removals: []")), "{:?}", responses(&world));
    assert_eq!(world.node.held(ResourceType::Routes).version().leadership.0, 2);
}

#[test]
fn a_warming_leader_adds_and_removes_nothing_until_all_have_reported() {
    let mut world = settled_world();
    let waiting = [(NodeId(7), SECOND * 100), (NodeId(8), SECOND * 20)];
    world.fail_over(Warming::new(waiting));
    world.publish(ResourceType::Nodes, &content(&[("n1", "a"), ("n2", "b")]));
    world.publish(ResourceType::Placement, &content(&[("s1", "n1"), ("s2", "n2")]));
    world.publish(ResourceType::Policy, &content(&[("p", "1")]));
    world.publish(ResourceType::Routes, &content(&[("r3", "z")]));
    world.connect();
    world.run(SECOND * 5);
    assert_eq!(in_effect(&world.node, ResourceType::Routes), [name("r1"), name("r2"), name("r3")].into());
    world.publisher.warming_mut().on_reported(NodeId(7));
    assert!(!world.publisher.finish_warming(world.now), "node 8 has neither reported nor lost its lease");
    world.run(SECOND * 20);
    assert!(world.publisher.finish_warming(world.now));
    world.after_publish();
    world.run(SECOND);
    assert_eq!(in_effect(&world.node, ResourceType::Routes), [name("r3")].into());
}

#[test]
fn a_warming_leader_keeps_also_what_it_has_published_itself() {
    let mut world = settled_world();
    world.fail_over(Warming::new([(NodeId(7), SECOND * 100)]));
    world.publish(ResourceType::Routes, &content(&[("r3", "z"), ("r4", "z")]));
    assert_eq!(world.publish(ResourceType::Routes, &content(&[("r4", "z")])), None);
    assert!(world.publisher.snapshot().of(ResourceType::Routes).get(&name("r3")).is_some());
    world.publisher.warming_mut().on_reported(NodeId(7));
    assert!(world.publisher.finish_warming(world.now));
    assert!(world.publisher.snapshot().of(ResourceType::Routes).get(&name("r3")).is_none());
}

#[test]
fn a_replaced_body_stays_in_effect_while_the_leader_is_warming() {
    let mut world = settled_world();
    world.fail_over(Warming::new([(NodeId(7), SECOND * 100)]));
    for (kind, rows) in [
        (ResourceType::Nodes, content(&[("n1", "a"), ("n2", "b")])),
        (ResourceType::Placement, content(&[("s1", "n1"), ("s2", "n2")])),
        (ResourceType::Routes, content(&[("r1", "half of x")])),
        (ResourceType::Policy, content(&[("p", "1")])),
    ] {
        world.publish(kind, &rows);
    }
    world.connect();
    world.run(SECOND);
    let retired: Vec<_> =
        world.node.held(ResourceType::Routes).retired().map(|(name, body)| (name.as_str(), &**body)).collect();
    assert_eq!(retired, [("r1", &b"x"[..]), ("r2", b"y")]);
}

#[test]
fn a_leader_of_the_past_sends_nothing_and_knows_it() {
    let mut world = settled_world();
    world.fail_over(Warming::default());
    world.epoch = 0;
    world.fail_over(Warming::default());
    world.publish(ResourceType::Routes, &content(&[("r0", "stale")]));
    world.connect();
    world.run(SECOND);
    assert_eq!(world.server().behind(), Some((ResourceType::Routes, Version::new(1, 3))));
    assert_eq!(responses(&world).len(), 0);
}

#[test]
fn i27_a_node_that_starts_without_control_has_the_tables_it_had() {
    let mut world = settled_world();
    world.fail_over(Warming::new([(NodeId(7), SECOND * 100)]));
    world.publish(ResourceType::Routes, &content(&[("r3", "z")]));
    world.connect();
    world.run(SECOND);
    let (before, routes) = (world.node.export(), in_effect(&world.node, ResourceType::Routes));
    world.save();
    world.restart();
    assert_eq!((world.node.export(), in_effect(&world.node, ResourceType::Routes)), (before, routes));
}

#[test]
fn a_damaged_save_is_found() {
    let mut world = settled_world();
    world.save();
    world.disk.types.of_mut(ResourceType::Placement).resources[0].body = b"n2"[..].into();
    let restored = ClientStream::restore(NodeId(1), &world.disk, world.limits, Timing::default());
    assert_eq!(restored.err(), Some(SavedError { kind: ResourceType::Placement }));
}

#[test]
fn divergence_shows_in_a_heartbeat_and_is_repaired_with_the_full_state() {
    let mut world = settled_world();
    let version = world.node.held(ResourceType::Routes).version();
    // A state of the same version that control never published.
    world.inject(Down::Response(full(ResourceType::Routes, version, &content(&[("r1", "corrupt")]))));
    let _lost_answer = world.node.poll_transmit(world.now);
    world.run(SECOND * 5);
    assert_eq!(world.server().status().of(ResourceType::Routes).diverged, 1);
    assert!(world.server().is_current());
    assert!(responses(&world).iter().any(|sent| sent.contains("base: None")));
}

#[test]
fn either_end_gives_up_on_silence() {
    let mut world = settled_world();
    world.now += SECOND * 60;
    world.node.handle_timeout(world.now);
    assert!(matches!(world.node.poll_output(), Some(ClientOutput::Close(_, CloseReason::Silence))));
    let mut world = settled_world();
    world.delay_ms_max = 100_000;
    world.run(SECOND * 20);
    assert!(!world.is_connected());
}

#[test]
fn frames_of_an_earlier_connection_are_dropped() {
    let mut world = settled_world();
    world.delay_ms_max = 500;
    world.publish(ResourceType::Routes, &content(&[("r1", "x"), ("r2", "y"), ("r3", "z")]));
    world.step(Duration::ZERO);
    world.delay_ms_max = 0;
    world.connect();
    world.run(SECOND * 2);
    assert!(world.server().is_current());
    assert_eq!(world.outputs.iter().filter_map(applied).count(), 1, "it was applied once, from the newer connection");
}
