//! `sluicectl check`: everything that can be asked, each with what to do when it is not well.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Outcome, Run};
use crate::{
    cli::{CheckArgs, CheckFormat},
    failure::{Exit, Failure},
    output::Cell,
    request::Request,
    route::Route,
    view::{
        Items,
        cluster::{Overview, Store},
        links::Link,
        node::Node,
        read,
    },
    world::{World, ask, json, list},
};

/// A check that is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Check {
    /// Its name, which stays the same.
    pub id: &'static str,
    /// What it belongs to.
    pub category: &'static str,
    /// What is so when it is well.
    pub title: &'static str,
    /// What to do when it is not.
    pub fix: &'static str,
}

const fn check(id: &'static str, category: &'static str, title: &'static str, fix: &'static str) -> Check {
    Check { id, category, title, fix }
}

const CONTROL: &str = "control plane";
const STORE: &str = "store";
const NODES: &str = "nodes";
const SYNC: &str = "config sync";
const LINKS: &str = "peer links";
const PLACEMENT: &str = "placement";
const ALARMS: &str = "alarms";

/// All checks, in their order.
pub const CHECKS: [Check; 18] = [
    check(
        "control-reachable",
        CONTROL,
        "control answers",
        "see whether it runs, and what --server or the context says",
    ),
    check(
        "control-access",
        CONTROL,
        "the token is valid",
        "name one with --token-file or a context; control left the first one in its file bootstrap-token",
    ),
    check("control-ready", CONTROL, "the replica is ready", "see the alarms below, and the log of control"),
    check(
        "control-leader",
        CONTROL,
        "a replica leads",
        "wait for the lease of the last leader to end, seconds; if nobody leads then, see the store",
    ),
    check(
        "control-warm",
        CONTROL,
        "the leader has heard of every node",
        "wait: a new leader takes nothing away before every node has reported or had its time",
    ),
    check(
        "store-healthy",
        STORE,
        "the store is healthy",
        "see what is wrong with which member: sluicectl store status",
    ),
    check("store-members", STORE, "every member answers", "repair the member while the others still are a majority"),
    check(
        "store-quota",
        STORE,
        "the store has room",
        "compact and defragment etcd, one member after the other, and raise its quota",
    ),
    check("nodes-any", NODES, "there are nodes", "a node joins with a token: sluicectl nodes token create"),
    check(
        "nodes-connected",
        NODES,
        "every node is connected",
        "see on the node's machine whether it runs and reaches control's port for nodes, 7081; if the machine is gone \
         for good: sluicectl nodes remove NODE --lost",
    ),
    check(
        "nodes-active",
        NODES,
        "no node is cordoned or draining",
        "if that is over: sluicectl nodes uncordon NODE; a node that is drained: sluicectl nodes remove NODE",
    ),
    check(
        "sync-accepted",
        SYNC,
        "no node refuses what is pushed",
        "see why: sluicectl nodes sync; update the node if it is older than control",
    ),
    check(
        "sync-current",
        SYNC,
        "every node holds what is pushed",
        "wait a moment; if it stays so: sluicectl nodes sync",
    ),
    check(
        "links-heard",
        LINKS,
        "nodes hear each other",
        "see between which: sluicectl links matrix; open UDP 7070 between them, and see cluster.peers.advertise",
    ),
    check(
        "placement-homes",
        PLACEMENT,
        "every shard has a home",
        "see which have none and why: sluicectl placement show",
    ),
    check("placement-running", PLACEMENT, "shards may move", "if the reason is over: sluicectl placement resume"),
    check("alarms-critical", ALARMS, "no critical alarm", "do what the alarm says; each has a run book"),
    check("alarms-warning", ALARMS, "no warning", "look at it when there is time"),
];

/// What came of a check.
#[derive(Clone, PartialEq, Eq, Debug)]
enum State {
    /// Well.
    Passed,
    /// Somebody may have to look; with what was found.
    Warned(String),
    /// Somebody has to do something; with what was found.
    Failed(String),
    /// It could not be made; with the reason.
    Skipped(String),
}

impl State {
    fn name(&self) -> &'static str {
        match self {
            Self::Passed => "ok",
            Self::Warned(_) => "warning",
            Self::Failed(_) => "failed",
            Self::Skipped(_) => "skipped",
        }
    }

    fn detail(&self) -> Option<&str> {
        match self {
            Self::Passed => None,
            Self::Warned(detail) | Self::Failed(detail) | Self::Skipped(detail) => Some(detail),
        }
    }

    /// Failed if there is something, with what.
    fn failed_if_any(found: &[String]) -> Self {
        if found.is_empty() { Self::Passed } else { Self::Failed(found.join(", ")) }
    }

    fn warned_if_any(found: &[String]) -> Self {
        if found.is_empty() { Self::Passed } else { Self::Warned(found.join(", ")) }
    }
}

/// What came of all checks.
#[derive(Default)]
struct Report(Vec<(Check, State)>);

impl Report {
    fn add(&mut self, id: &str, state: State) {
        let check = CHECKS.into_iter().find(|check| check.id == id);
        self.0.extend(check.map(|check| (check, state)));
    }

    fn count(&self, is_meant: impl Fn(&State) -> bool) -> usize {
        self.0.iter().filter(|(_, state)| is_meant(state)).count()
    }

    fn failures(&self) -> usize {
        self.count(|state| matches!(state, State::Failed(_)))
    }

    fn warnings(&self) -> usize {
        self.count(|state| matches!(state, State::Warned(_)))
    }

    /// The checks that follow on one that failed could not be made.
    fn skip_rest(&mut self, why: &str) {
        for check in CHECKS {
            if !self.0.iter().any(|(made, _)| made.id == check.id) {
                self.0.push((check, State::Skipped(why.to_owned())));
            }
        }
    }

    fn exit(&self) -> Exit {
        match (self.count(|state| matches!(state, State::Skipped(_))), self.failures()) {
            (0, 0) => Exit::Ok,
            (0, _) => Exit::Pending,
            // What was not checked may be anything.
            (..) => Exit::Failed,
        }
    }

    fn verdict(&self) -> String {
        let some = |count: usize, word: &str| match count {
            0 => None,
            1 => Some(format!("1 {word}")),
            count => Some(format!("{count} {word}s")),
        };
        let counts: Vec<String> =
            [some(self.failures(), "failure"), some(self.warnings(), "warning")].into_iter().flatten().collect();
        let counts = if counts.is_empty() { String::new() } else { format!(" ({})", counts.join(", ")) };
        let word = match self.exit() {
            Exit::Ok => "healthy",
            Exit::Failed => "unknown",
            Exit::Pending | Exit::Usage | Exit::Unreachable | Exit::Denied | Exit::Config => "unhealthy",
        };
        format!("Status: {word}{counts}")
    }

    fn text(&self, is_short: bool, has_colour: bool) -> String {
        let mut text = String::new();
        let mut last = "";
        for (check, state) in &self.0 {
            let (mark, is_shown) = match state {
                State::Passed => (Cell::good("√"), !is_short),
                State::Warned(_) => (Cell::warning("‼"), true),
                State::Failed(_) => (Cell::bad("×"), true),
                State::Skipped(_) => (Cell::from("-"), !is_short),
            };
            if !is_shown {
                continue;
            }
            let category = if check.category == last { "" } else { check.category };
            last = check.category;
            text += &format!("{category:<WIDTH$}  {} {}", mark.painted(has_colour), check.title);
            if let Some(detail) = state.detail() {
                text += &format!(": {}", Cell::from(detail.replace('\n', " ")).text());
            }
            text.push('\n');
            if matches!(state, State::Warned(_) | State::Failed(_)) {
                text += &format!("{:<WIDTH$}    -> {}\n", "", check.fix);
                text += &format!("{:<WIDTH$}       docs/sluicectl.md#{}\n", "", check.id);
            }
        }
        text + &self.verdict() + "\n"
    }

    fn value(&self) -> Value {
        let row = |(check, state): &(Check, State)| {
            let is_well = matches!(state, State::Passed | State::Skipped(_));
            json!({
                "id": check.id,
                "category": check.category,
                "title": check.title,
                "state": state.name(),
                "detail": state.detail(),
                "fix": (!is_well).then_some(check.fix),
                "docs": format!("docs/sluicectl.md#{}", check.id),
            })
        };
        let status = match self.exit() {
            Exit::Ok => "healthy",
            Exit::Failed => "unknown",
            Exit::Pending | Exit::Usage | Exit::Unreachable | Exit::Denied | Exit::Config => "unhealthy",
        };
        json!({
            "status": status,
            "failures": self.failures(),
            "warnings": self.warnings(),
            "checks": self.0.iter().map(row).collect::<Vec<_>>(),
        })
    }
}

pub(super) fn run(run: &mut Run<'_>, args: &CheckArgs) -> Outcome {
    let tries = args.wait.map_or(0, |wait| wait.as_secs() / STEP.as_secs());
    let mut report = make(run.world);
    for _ in 0..tries {
        if report.exit() == Exit::Ok {
            break;
        }
        run.world.pause(STEP);
        report = make(run.world);
    }
    let text = match args.output {
        CheckFormat::Json => format!("{:#}\n", report.value()),
        CheckFormat::Table | CheckFormat::Short => report.text(args.output == CheckFormat::Short, run.has_colour),
    };
    run.world.show(&text)?;
    Ok(report.exit())
}

/// Makes all checks that can be made.
fn make(world: &mut dyn World) -> Report {
    let mut report = Report::default();
    // Whatever cannot be asked keeps the rest from being checked.
    if let Err(reason) = checked(world, &mut report) {
        report.skip_rest(&reason);
    }
    report
}

fn checked(world: &mut dyn World, report: &mut Report) -> Result<(), String> {
    needed(report, "control-reachable", ask(world, &Request::to(Route::Health)))?;
    report.add("control-reachable", State::Passed);
    needed(report, "control-access", ask(world, &Request::to(Route::Whoami)))?;
    report.add("control-access", State::Passed);
    report.add("control-ready", ready(world));
    let overview = json(world, &Request::to(Route::Overview)).and_then(|value| read(&value));
    let overview: Overview = needed(report, "control-leader", overview)?;
    of_control(report, &overview);
    of_store(report, world);
    let nodes = list(world, Route::Nodes).and_then(|value| read(&value));
    let nodes: Items<Node> = needed(report, "nodes-any", nodes)?;
    let nodes: Vec<Node> = nodes.items.into_iter().filter(|node| !node.is_gone()).collect();
    of_nodes(report, &nodes);
    of_links(report, world, nodes.len());
    of_placement(report, world, &overview, nodes.is_empty());
    of_alarms(report, &overview);
    Ok(())
}

/// What the next checks rest on: without it this check has failed, and the next ones cannot be made.
fn needed<T>(report: &mut Report, id: &str, result: Result<T, Failure>) -> Result<T, String> {
    result.map_err(|failure| {
        report.add(id, State::Failed(failure.reason().to_owned()));
        format!("{id} failed")
    })
}

fn ready(world: &mut dyn World) -> State {
    let answer = match world.send(&Request::to(Route::Ready)) {
        Ok(answer) => answer,
        Err(failure) => return State::Failed(failure.reason().to_owned()),
    };
    let value = answer.json().unwrap_or_default();
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    match (answer.status, text("mode").as_str()) {
        (200, "degraded") => State::Warned("it serves, with critical alarms".into()),
        (200, _) => State::Passed,
        (status, _) => {
            State::Failed(Some(text("details")).filter(|text| !text.is_empty()).unwrap_or(status.to_string()))
        }
    }
}

fn of_control(report: &mut Report, overview: &Overview) {
    let control = &overview.control;
    let leads = match (&control.leader, control.office.as_str()) {
        (None, _) => State::Failed("nobody leads".into()),
        (Some(leader), "following") if *leader == control.replica => {
            State::Failed(format!("the lease of {leader} is out of date"))
        }
        (Some(_), _) => State::Passed,
    };
    report.add("control-leader", leads);
    report.add("control-warm", State::warned_if_any(&control.waits_for));
}

fn of_store(report: &mut Report, world: &mut dyn World) {
    let store = json(world, &Request::to(Route::Store)).and_then(|value| read::<Store>(&value));
    let store = match store {
        Ok(store) => store,
        Err(failure) => {
            let reason = failure.reason().to_owned();
            ["store-healthy", "store-members", "store-quota"]
                .iter()
                .for_each(|id| report.add(id, State::Failed(reason.clone())));
            return;
        }
    };
    let healthy = match store.status.as_str() {
        "healthy" => State::Passed,
        "unknown" => State::Warned("it has not been looked at yet".into()),
        status => {
            let alarms: Vec<String> = store.alarms.iter().map(Value::to_string).collect();
            State::Failed(store.reason.unwrap_or_else(|| format!("{status} {}", alarms.join(", ")).trim_end().into()))
        }
    };
    report.add("store-healthy", healthy);
    let silent = store.members.iter().filter_map(|member| {
        let name = member.name.as_ref().or(member.endpoint.as_ref())?;
        Some(format!("{name}: {}", member.error.as_ref()?))
    });
    report.add("store-members", State::warned_if_any(&silent.collect::<Vec<_>>()));
    let quota = match store.used_percent {
        Some(used) if used >= QUOTA_FULL => State::Failed(format!("{used:.0} % of its quota is used")),
        Some(used) if used >= QUOTA_HIGH => State::Warned(format!("{used:.0} % of its quota is used")),
        Some(_) | None => State::Passed,
    };
    report.add("store-quota", quota);
}

fn of_nodes(report: &mut Report, nodes: &[Node]) {
    report.add("nodes-any", if nodes.is_empty() { State::Warned("there is none".into()) } else { State::Passed });
    let named = |is_meant: &dyn Fn(&Node) -> bool| -> Vec<String> {
        nodes.iter().filter(|node| is_meant(node)).map(|node| node.id.clone()).collect()
    };
    let away = named(&|node| node.connected == Some(false));
    report.add("nodes-connected", State::failed_if_any(&away));
    let set_apart: Vec<String> = nodes
        .iter()
        .filter(|node| ["cordoned", "draining"].contains(&node.phase.as_str()))
        .map(|node| format!("{} is {}", node.id, node.phase))
        .collect();
    report.add("nodes-active", State::warned_if_any(&set_apart));
    let found = |is_meant: &dyn Fn(&crate::view::node::Sync) -> bool| -> Vec<String> {
        let of_node = |node: &Node| {
            let sync = node.sync.iter().flatten().filter(|sync| is_meant(sync));
            sync.map(|sync| format!("{}: {} {}", node.id, sync.kind, sync.words())).collect::<Vec<_>>()
        };
        nodes.iter().flat_map(of_node).collect()
    };
    report.add("sync-accepted", State::failed_if_any(&found(&|sync| sync.is_wrong())));
    report.add("sync-current", State::warned_if_any(&found(&|sync| !sync.is_synced() && !sync.is_wrong())));
}

fn of_links(report: &mut Report, world: &mut dyn World, nodes: usize) {
    let state = match list(world, Route::Links).and_then(|value| read::<Items<Link>>(&value)) {
        Err(failure) => State::Warned(failure.reason().to_owned()),
        Ok(links) => {
            let silent: Vec<String> = links
                .items
                .iter()
                .filter(|link| link.is_silent())
                .map(|link| format!("{} does not hear {}", link.from, link.to))
                .collect();
            match (links.items.is_empty() && nodes > 1, silent.is_empty()) {
                (true, _) => State::Warned("no node has reported another one".into()),
                (false, true) => State::Passed,
                (false, false) => State::Failed(silent.join(", ")),
            }
        }
    };
    report.add("links-heard", state);
}

fn of_placement(report: &mut Report, world: &mut dyn World, overview: &Overview, is_without_nodes: bool) {
    let homeless = list(world, Route::Placement).map(|value| {
        let shards = value.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
        let has_voter = |shard: &Value| {
            shard.pointer("/replicas/voters").and_then(Value::as_array).is_some_and(|voters| !voters.is_empty())
        };
        let without = shards.iter().filter(|shard| !has_voter(shard)).count();
        (without, shards.is_empty())
    });
    let state = match homeless {
        Err(failure) => State::Failed(failure.reason().to_owned()),
        Ok((0, true)) if is_without_nodes => State::Warned("no shard is placed: there are no nodes".into()),
        Ok((0, true)) => State::Failed("no shard is placed".into()),
        Ok((0, false)) => State::Passed,
        Ok((without, _)) => State::Failed(format!("{without} shards have none")),
    };
    report.add("placement-homes", state);
    let paused = overview.placement.paused.then(|| "paused: nothing new moves".to_owned());
    report.add("placement-running", State::warned_if_any(&Vec::from_iter(paused)));
}

fn of_alarms(report: &mut Report, overview: &Overview) {
    let told = |is_critical: bool| -> Vec<String> {
        let meant = overview.alarms.iter().filter(|alarm| alarm.is_critical() == is_critical);
        meant.map(|alarm| format!("{}: {}", alarm.code, alarm.message)).collect()
    };
    report.add("alarms-critical", State::failed_if_any(&told(true)));
    report.add("alarms-warning", State::warned_if_any(&told(false)));
}

/// As wide as the longest category.
const WIDTH: usize = 13;
/// How often all is checked again with `--wait`.
const STEP: Duration = Duration::from_secs(1);
/// Percent of the store's quota from which somebody should plan, and from which somebody has to act.
const QUOTA_HIGH: f64 = 60.0;
const QUOTA_FULL: f64 = 85.0;
