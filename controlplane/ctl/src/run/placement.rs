//! Commands about policies and the placement.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};

use super::{Outcome, Run, change::Change, nodes, resources};
use crate::{
    cli::{Look, Loss, Output, Placement, Write},
    failure::{Exit, Failure},
    output::Shown,
    request::Request,
    route::Route,
    view::{
        cluster::Overview,
        plan::{self, Preview},
        policy::{self, ShardFilter},
        read, traffic,
    },
    world::{World, json, list},
};

pub(super) fn run(run: &mut Run<'_>, command: Placement) -> Outcome {
    match command {
        Placement::Ls(look) => run.list(&look, Route::Policies, policy::list),
        Placement::Get { name, look } => run.one(&look, &Request::to(Route::Policy).named(name), policy::one),
        Placement::Show { by_node: true, look, .. } => run.list(&look, Route::Placement, policy::by_node),
        Placement::Show { keyspace, node, moving, by_node: false, look } => {
            let node = node.map(|node| nodes::resolve(run.world, &node)).transpose()?;
            let filter = ShardFilter { keyspace, node, is_moving: moving };
            run.look(&look, |world| list(world, Route::Placement), |_, value| policy::placement(value, &filter))
        }
        Placement::Put(args) => resources::apply(run, &args),
        Placement::Delete { names, write } => resources::delete_policies(run, &names, &write),
        Placement::Plan { id: Some(id), out, detailed_exitcode, output, .. } => {
            let value = json(run.world, &Request::to(Route::Plan).named(id))?;
            planned(run, value, out.as_deref(), detailed_exitcode, &output)
        }
        Placement::Plan { id: None, file, delete, out, detailed_exitcode, output } => {
            let value = make(run.world, &file, &delete)?;
            planned(run, value, out.as_deref(), detailed_exitcode, &output)
        }
        Placement::Apply { plan, wait, write } => apply(run, &plan, wait, &write),
        Placement::Diff(args) => resources::diff(run, &args),
        Placement::History(look) => run.list(&look, Route::Revisions, plan::history),
        Placement::Rollback { revision, write } => rollback(run, revision, &write),
        Placement::Simulate { loss, look } => simulate(run, &loss, &look),
        Placement::Suggest { policies, look } => {
            let show = if policies { traffic::policies } else { traffic::suggestions };
            run.one(&look, &Request::to(Route::Suggestions), show)
        }
        Placement::Pause(write) => {
            let change = Change::harmless("let nothing new move", Request::to(Route::Pause));
            run.change(&write, change, |value| Ok(Shown::line(value, "Paused: nothing new moves.")))
        }
        Placement::Resume(write) => {
            let change = Change::harmless("let shards move again", Request::to(Route::Resume));
            run.change(&write, change, |value| Ok(Shown::line(value, "Resumed: shards move again.")))
        }
    }
}

/// Shows a plan.
pub(super) fn show_plan(run: &mut Run<'_>, id: &str, look: &Look) -> Outcome {
    run.one(look, &Request::to(Route::Plan).named(id), plan::preview)
}

fn make(world: &mut dyn World, files: &[PathBuf], delete: &[String]) -> Result<Value, Failure> {
    let put = resources::read_all(world, files)?;
    let put: Vec<Value> = put.into_iter().map(|resource| resource.value).collect();
    json(world, &Request::to(Route::MakePlan).body(json!({"put": put, "delete": delete})))
}

fn planned(run: &mut Run<'_>, value: Value, out: Option<&Path>, is_detailed: bool, output: &Output) -> Outcome {
    if let Some(path) = out {
        run.world.write(path, &format!("{value:#}\n"))?;
        run.world.note(&format!("written to {}; apply it with: sluicectl placement apply {0}", path.display()));
    }
    let preview: Preview = read(&value)?;
    let exit = if is_detailed && preview.changes_something() { Exit::Pending } else { Exit::Ok };
    run.put(&plan::preview(value)?.exit(exit), output)
}

fn apply(run: &mut Run<'_>, text: &str, wait: Option<Duration>, write: &Write) -> Outcome {
    let id = plan_id(run.world, text)?;
    let value = json(run.world, &Request::to(Route::Plan).named(&id))?;
    let shown = plan::preview(value)?.text(crate::output::Format::Table, false)?;
    run.world.note(shown.trim_end());
    let change = Change::destructive(format!("apply plan {id}"), Request::to(Route::ApplyPlan).named(&id));
    let exit = run.change(write, change, |value| {
        let revision = value.get("intent").map(Value::to_string).unwrap_or_default();
        Ok(Shown::line(
            value,
            format!("Applied: revision {revision}. See what moves: sluicectl placement show --moving"),
        ))
    })?;
    match wait.filter(|_| !write.dry_run) {
        Some(wait) => settle(run, wait),
        None => Ok(exit),
    }
}

/// The id of a plan, itself or from the file that it was written to.
fn plan_id(world: &mut dyn World, text: &str) -> Result<String, Failure> {
    let is_id = text.strip_prefix("p-").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if is_id {
        return Ok(text.to_owned());
    }
    let file = world.read(Path::new(text))?;
    let plan: Option<Value> = serde_json::from_str(&file).ok();
    let id = plan.as_ref().and_then(|plan| plan.get("id")?.as_str());
    id.map(str::to_owned).ok_or_else(|| {
        Failure::new(Exit::Config, format!("{text} is no plan"))
            .because("it has no id, and ids of plans begin with p-")
            .fix("make one: sluicectl placement plan -f FILE --out plan.json")
    })
}

/// Waits until nothing moves. What is wanted becomes a placement a moment later: still twice means that it has.
fn settle(run: &mut Run<'_>, wait: Duration) -> Outcome {
    let (mut last, mut still) = (None, 0);
    for _ in 0..=wait.as_secs() / STEP.as_secs() {
        run.world.pause(STEP);
        let overview: Overview = read(&json(run.world, &Request::to(Route::Overview))?)?;
        let moving = overview.placement.moving;
        still = if moving == 0 { still + 1 } else { 0 };
        if still > 1 {
            run.world.note("nothing moves");
            return Ok(Exit::Ok);
        }
        if moving > 0 && last != Some(moving) {
            run.world.note(&format!("{moving} shards are moving"));
            last = Some(moving);
        }
    }
    Err(Failure::new(Exit::Pending, "shards are still moving")
        .because("the time to wait is over; they go on moving")
        .fix("see which: sluicectl placement show --moving"))
}

fn rollback(run: &mut Run<'_>, revision: u64, write: &Write) -> Outcome {
    let what =
        format!("bring back the policies of revision {revision}, as a new revision; shards move to where they say");
    let change = Change::destructive(what, Request::to(Route::Restore).named(revision.to_string()));
    run.change(write, change, |value| {
        let now = value.get("intent").map(Value::to_string).unwrap_or_default();
        Ok(Shown::line(value, format!("The policies of revision {revision} are back: revision {now}.")))
    })
}

fn simulate(run: &mut Run<'_>, loss: &Loss, look: &Look) -> Outcome {
    let body = match (&loss.kill, &loss.loss) {
        (Some(node), _) => json!({"node": nodes::resolve(run.world, node)?}),
        (None, Some(region)) => json!({"region": region.strip_prefix("region=").unwrap_or(region)}),
        (None, None) => return Err(Failure::usage("name what is lost: --kill NODE or --loss REGION")),
    };
    let request = Request::to(Route::Simulate).body(body);
    run.one(look, &request, plan::simulation)
}

/// How often it is looked whether shards still move.
const STEP: Duration = Duration::from_secs(1);
