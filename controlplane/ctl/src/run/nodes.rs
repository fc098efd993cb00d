//! Commands about nodes.

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;

use super::{Outcome, Run, change::Change, tokens};
use crate::{
    cli::{NodeRef, NodeToken, Nodes, Write},
    failure::{Exit, Failure},
    output::Shown,
    request::{Condition, Request},
    route::Route,
    view::{
        Items,
        node::{self, Node},
        read,
    },
    world::{World, ask, json, list},
};

pub(super) fn run(run: &mut Run<'_>, command: Nodes) -> Outcome {
    match command {
        Nodes::Ls(look) => run.list(&look, Route::Nodes, node::list),
        Nodes::Sync(look) => run.list(&look, Route::Nodes, node::sync),
        Nodes::Describe { node, look } => {
            let id = resolve(run.world, &node.node)?;
            run.one(&look, &Request::to(Route::Node).named(id), node::describe)
        }
        Nodes::Cordon { node, write } => patch(run, &node, &write, "cordon", json!({"cordoned": true})),
        Nodes::Uncordon { node, write } => patch(run, &node, &write, "uncordon", json!({"cordoned": false})),
        Nodes::Weight { node, weight, write } => {
            patch(run, &node, &write, &format!("give weight {weight} to"), json!({"weight": weight}))
        }
        Nodes::Label { node, labels, write } => label(run, &node, &labels, &write),
        Nodes::Drain { node, wait, write } => drain(run, &node, wait, &write),
        Nodes::Remove { node, lost, write } => remove(run, &node.node, lost, &write),
        Nodes::Token(NodeToken::Create { ttl, output }) => {
            let request = Request::to(Route::NodeToken);
            let request = ttl.map_or(request.clone(), |ttl| request.query("ttl_s", ttl.as_secs()));
            tokens::fresh(run, &request, &output)
        }
    }
}

/// The id of a node, from what an operator calls it.
pub(super) fn resolve(world: &mut dyn World, text: &str) -> Result<String, Failure> {
    if text.len() == ID_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(text.to_ascii_lowercase());
    }
    let nodes: Items<Node> = read(&list(world, Route::Nodes)?)?;
    let label = text.split_once('=');
    // What a node is called says more than how its id begins.
    let is_name = nodes.items.iter().any(|node| !node.is_gone() && node.name.as_deref() == Some(text));
    let is_meant = |node: &&Node| match label {
        Some((key, value)) => node.labels.get(key).is_some_and(|held| held == value),
        None if is_name => node.name.as_deref() == Some(text),
        None => !text.is_empty() && node.id.starts_with(&text.to_ascii_lowercase()),
    };
    let found: Vec<&Node> = nodes.items.iter().filter(|node| !node.is_gone()).filter(is_meant).collect();
    match found.as_slice() {
        [node] => Ok(node.id.clone()),
        [] => Err(Failure::new(Exit::Failed, format!("there is no node {text}"))
            .because("none is called so, no id begins so, and none has such a label")
            .fix("see which nodes there are: sluicectl nodes ls -o wide")),
        several => {
            let ids: Vec<&str> = several.iter().map(|node| node.id.as_str()).collect();
            Err(Failure::usage(format!("{text} may be several nodes"))
                .because(format!("there are {}", ids.join(", ")))
                .fix("name one of them by its id"))
        }
    }
}

fn patch(run: &mut Run<'_>, node: &NodeRef, write: &Write, verb: &str, body: serde_json::Value) -> Outcome {
    let id = resolve(run.world, &node.node)?;
    let request = Request::to(Route::PatchNode).named(&id).body(body);
    run.change(write, Change::harmless(format!("{verb} node {id}"), request), node::describe)
}

fn label(run: &mut Run<'_>, node: &NodeRef, words: &[String], write: &Write) -> Outcome {
    let id = resolve(run.world, &node.node)?;
    let answer = ask(run.world, &Request::to(Route::Node).named(&id))?;
    let held: Node = read(&answer.json()?)?;
    let labels = labelled(held.operator_labels, words)?;
    // They replace each other as a whole: nobody else's are to be lost.
    let condition = answer.etag.map_or(Condition::Any, Condition::At);
    let request = Request::to(Route::PatchNode).named(&id).body(json!({"labels": labels})).from_state(condition);
    let what = format!("give node {id} the labels {}", node::labels(&labels).join(", "));
    run.change(write, Change::harmless(what, request), node::describe)
}

/// Labels after words such as `a=b` and `c-`.
fn labelled(mut labels: BTreeMap<String, String>, words: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    for word in words {
        match (word.split_once('='), word.strip_suffix('-')) {
            (Some((key, value)), _) => {
                labels.insert(key.to_owned(), value.to_owned());
            }
            (None, Some(key)) if labels.remove(key).is_some() => {}
            (None, Some(key)) => {
                return Err(Failure::new(Exit::Failed, format!("operators have given the node no label {key}"))
                    .because("what a node says of itself stands in its own file")
                    .fix("see what it has: sluicectl nodes describe NODE"));
            }
            (None, None) => return Err(Failure::usage(format!("{word} is neither KEY=VALUE nor KEY-"))),
        }
    }
    Ok(labels)
}

fn drain(run: &mut Run<'_>, node: &NodeRef, wait: Option<Duration>, write: &Write) -> Outcome {
    let id = resolve(run.world, &node.node)?;
    let request = Request::to(Route::DrainNode).named(&id);
    let what =
        format!("send the clients of node {id} and bring all its shards to other nodes, and give it no new ones");
    let exit = run.change(write, Change::destructive(what, request), node::describe)?;
    let Some(wait) = wait.filter(|_| !write.dry_run) else { return Ok(exit) };
    let mut last = None;
    for _ in 0..=wait.as_secs() / STEP.as_secs() {
        let node: Node = read(&json(run.world, &Request::to(Route::Node).named(&id))?)?;
        let left = Left::of(&node);
        if left.is_nothing() {
            run.world.note(&format!("node {id} has no shards and no clients: it can be stopped and removed"));
            return Ok(Exit::Ok);
        }
        if last != Some(left) {
            run.world.note(&format!("draining {id}: {left} left"));
            last = Some(left);
        }
        run.world.pause(STEP);
    }
    let left = last.map(|left| left.to_string()).unwrap_or_default();
    Err(Failure::new(Exit::Pending, format!("node {id} still has {left}"))
        .because("the time to wait is over; the drain goes on")
        .fix("see what waits for what: sluicectl placement show --moving, or wait again with the same command"))
}

/// What a node that is drained still has.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Left {
    shards: u64,
    /// `None` while the node does not say, or has stopped.
    clients: Option<u64>,
}

impl Left {
    fn of(node: &Node) -> Self {
        Self { shards: node.shards, clients: node.connections }
    }

    fn is_nothing(self) -> bool {
        self.shards == 0 && self.clients.unwrap_or(0) == 0
    }
}

impl std::fmt::Display for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} shards", self.shards)?;
        self.clients.map_or(Ok(()), |clients| write!(f, " and {clients} clients"))
    }
}

pub(super) fn remove(run: &mut Run<'_>, text: &str, is_lost: bool, write: &Write) -> Outcome {
    let id = resolve(run.world, text)?;
    let node: Node = read(&json(run.world, &Request::to(Route::Node).named(&id))?)?;
    let lost = if is_lost { ", and give up what only it has" } else { "" };
    let region = node.region.as_deref().unwrap_or("no region");
    let what = format!(
        "remove node {id} ({region}, {}, {} shards){lost}; nobody comes back under its id",
        node.phase, node.shards
    );
    let request = Request::to(Route::RemoveNode).named(&id);
    let request = if is_lost { request.query("lost", true) } else { request };
    run.change(write, Change::destructive(what, request), |value| {
        Ok(Shown::line(value, format!("Node {id} is removed.")))
    })
}

const ID_DIGITS: usize = 16;
/// How often it is looked whether a drain is over.
const STEP: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_set_labels_and_take_them_away() {
        let held = BTreeMap::from([("zone".to_owned(), "a".to_owned()), ("disk".into(), "nvme".into())]);
        let words =
            |words: &[&str]| labelled(held.clone(), &words.iter().map(|word| word.to_string()).collect::<Vec<_>>());
        let set = words(&["zone=b", "disk-", "rack=r=1"]).unwrap();
        assert_eq!(node::labels(&set), ["rack=r=1", "zone=b"]);
        assert_eq!(words(&["zone"]).unwrap_err().exit, Exit::Usage);
        assert_eq!(words(&["owner-"]).unwrap_err().exit, Exit::Failed);
    }
}
