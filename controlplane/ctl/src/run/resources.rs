//! Resources in files: apply, diff, delete.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{Outcome, Run, change::Change, nodes, tokens};
use crate::{
    cli::{ApplyArgs, DeletableKind, DeleteArgs, DiffArgs, Write},
    failure::{Exit, Failure},
    output::{Cell, Part, Shown},
    request::{Condition, Request},
    route::Route,
    view::plan,
    world::{World, ask, json},
    yaml,
};

/// A resource as a file has it.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Resource {
    name: String,
    /// All of it.
    pub(super) value: Value,
}

/// What control holds of a policy.
struct Held {
    value: Value,
    etag: Option<u64>,
}

/// All resources of files, in their order.
pub(super) fn read_all(world: &mut dyn World, files: &[PathBuf]) -> Result<Vec<Resource>, Failure> {
    let mut all: Vec<Resource> = Vec::new();
    for file in files {
        let text = world.read(file)?;
        for resource in parse(file, &text)? {
            if all.iter().any(|other| other.name == resource.name) {
                let what = format!("{}: the policy {} stands there twice", file.display(), resource.name);
                return Err(Failure::new(Exit::Config, what).fix("leave one of them"));
            }
            all.push(resource);
        }
    }
    Ok(all)
}

fn parse(file: &Path, text: &str) -> Result<Vec<Resource>, Failure> {
    let wrong = |why: String| {
        Failure::new(Exit::Config, format!("{} cannot be read", file.display()))
            .because(why)
            .fix("see what a policy looks like: sluicectl placement get topics")
    };
    let mut found = Vec::new();
    for document in yaml::documents(text).map_err(wrong)? {
        // A list, as `placement ls -o yaml` writes it, is as good as its entries.
        let entries = match document.get("items") {
            Some(Value::Array(items)) => items.clone(),
            _ => vec![document],
        };
        for value in entries {
            found.push(resource(value).map_err(wrong)?);
        }
    }
    if found.is_empty() { Err(wrong("there is nothing in it".into())) } else { Ok(found) }
}

fn resource(value: Value) -> Result<Resource, String> {
    let kind = value.get("kind").and_then(Value::as_str).unwrap_or_default();
    if kind != KIND {
        return Err(format!("it has something of kind '{kind}', and only {KIND} can be applied"));
    }
    let name = value.get("metadata").and_then(|metadata| metadata.get("name")?.as_str());
    let name = name.ok_or("a policy has no metadata.name")?.to_owned();
    Ok(Resource { name, value })
}

/// A policy as control holds it, if it holds one.
fn held(world: &mut dyn World, name: &str) -> Result<Option<Held>, Failure> {
    match ask(world, &Request::to(Route::Policy).named(name)) {
        Ok(answer) => Ok(Some(Held { value: answer.json()?, etag: answer.etag })),
        Err(failure) if failure.is("not_found") => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn condition(held: Option<&Held>) -> Condition {
    match held {
        None => Condition::Absent,
        Some(held) => held.etag.map_or(Condition::Any, Condition::At),
    }
}

/// Creates or changes what files say.
pub(super) fn apply(run: &mut Run<'_>, args: &ApplyArgs) -> Outcome {
    let resources = read_all(run.world, &args.files)?;
    let (mut items, mut parts) = (Vec::new(), Vec::new());
    for Resource { name, value } in resources {
        let held = held(run.world, &name)?;
        let request = Request::to(Route::PutPolicy).named(&name).body(value).from_state(condition(held.as_ref()));
        let request = if args.write.dry_run { request.query("dry_run", true) } else { request };
        let answer = json(run.world, &request)?;
        if args.write.dry_run {
            parts.push(Part::Text(format!("Placement {name} would do this:").into()));
            parts.extend(plan::preview(answer.clone())?.parts);
            items.push(json!({"kind": KIND, "name": name, "dry_run": true, "preview": answer}));
            continue;
        }
        let outcome = match held {
            None => "created",
            Some(held) if held.value == answer => "unchanged",
            Some(_) => "changed",
        };
        parts.push(Part::Text(format!("Placement {name} {outcome}").into()));
        items.push(json!({"kind": KIND, "name": name, "outcome": outcome}));
    }
    run.put(&Shown::new(json!({"items": items}), parts), &args.write.output)
}

/// Shows what applying files would change.
pub(super) fn diff(run: &mut Run<'_>, args: &DiffArgs) -> Outcome {
    let (mut items, mut parts, mut exit) = (Vec::new(), Vec::new(), Exit::Ok);
    for Resource { name, value } in read_all(run.world, &args.files)? {
        let before = held(run.world, &name)?.map(|held| held.value);
        let changes = differences(before.as_ref(), &value);
        if !changes.is_empty() {
            exit = Exit::Pending;
            let state = if before.is_some() { "" } else { "  (new)" };
            parts.push(Part::Text(format!("Placement {name}{state}").into()));
        }
        for (path, before, after) in &changes {
            let line = |sign: char, value: &Value| format!("  {sign} {path}: {value}");
            parts.extend(before.as_ref().map(|value| Part::Text(Cell::bad(line('-', value)))));
            parts.extend(after.as_ref().map(|value| Part::Text(Cell::good(line('+', value)))));
        }
        let shown: Vec<Value> = changes
            .into_iter()
            .map(|(path, before, after)| json!({"path": path, "before": before, "after": after}))
            .collect();
        items.push(json!({"kind": KIND, "name": name, "exists": before.is_some(), "changes": shown}));
    }
    run.put(&Shown::new(json!({"items": items}), parts).exit(exit), &args.output)
}

/// A place, and what stands there before and after.
type Difference = (String, Option<Value>, Option<Value>);

/// What is different in the wish of two policies. What neither says is the default of both.
fn differences(before: Option<&Value>, after: &Value) -> Vec<Difference> {
    let before = before.map(wish).unwrap_or_default();
    let after = wish(after);
    let mut found = Vec::new();
    let paths: Vec<&String> = before.keys().chain(after.keys().filter(|path| !before.contains_key(*path))).collect();
    for path in paths {
        let (was, is) = (before.get(path), after.get(path));
        // How many shards there are is kept unless it is said.
        let is_kept = path == "spec.shards" && is.is_none();
        if was != is && !is_kept {
            found.push((path.clone(), was.cloned(), is.cloned()));
        }
    }
    found
}

/// What a policy wants, place by place; lists count as one place.
fn wish(policy: &Value) -> Map<String, Value> {
    let mut places = Map::new();
    for (path, value) in [
        ("spec.topics", json!([])),
        ("spec.replicas", json!(1)),
        ("spec.spread", json!("zone")),
        ("spec.fallback", json!([])),
        ("spec.retained.replicate_below", json!(1024)),
        ("spec.remoteSubscribers", json!("forward")),
    ] {
        places.insert(path.into(), value);
    }
    put(&mut places, "spec", policy.get("spec").unwrap_or(&Value::Null));
    places
}

fn put(places: &mut Map<String, Value>, path: &str, value: &Value) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| put(places, &format!("{path}.{name}"), value));
        }
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            places.insert(path.to_owned(), value.clone());
        }
    }
}

/// Deletes what is named, or what files name.
pub(super) fn delete(run: &mut Run<'_>, args: DeleteArgs) -> Outcome {
    let DeleteArgs { kind, names, files, write } = args;
    let Some(kind) = kind else {
        let names: Vec<String> = read_all(run.world, &files)?.into_iter().map(|resource| resource.name).collect();
        return delete_policies(run, &names, &write);
    };
    if kind == DeletableKind::Placement {
        return delete_policies(run, &names, &write);
    }
    let mut exit = Exit::Ok;
    for name in names {
        exit = match kind {
            DeletableKind::Node => nodes::remove(run, &name, false, &write)?,
            DeletableKind::Token => tokens::revoke(run, &name, &write)?,
            DeletableKind::Placement => exit,
        };
    }
    Ok(exit)
}

/// Deletes policies.
pub(super) fn delete_policies(run: &mut Run<'_>, names: &[String], write: &Write) -> Outcome {
    let mut exit = Exit::Ok;
    for name in names {
        let held = held(run.world, name)?;
        let Some(held) = held else {
            return Err(Failure::new(Exit::Failed, format!("there is no policy {name}"))
                .fix("see which there are: sluicectl placement ls"));
        };
        let request = Request::to(Route::DeletePolicy).named(name).from_state(condition(Some(&held)));
        if write.dry_run {
            let preview = json(run.world, &request.query("dry_run", true))?;
            exit = run.put(&plan::preview(preview)?, &write.output)?;
            continue;
        }
        let what = format!("delete the policy {name}: its topics fall under the next policy that matches them");
        exit = run.change(write, Change::destructive(what, request), |value| {
            Ok(Shown::line(value, format!("Placement {name} deleted")))
        })?;
    }
    Ok(exit)
}

/// The only kind that control takes.
const KIND: &str = "Placement";

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "apiVersion: sluice/v1\nkind: Placement\nmetadata: {name: a}\nspec: {topics: [a]}\n---\n\n---\n\
                       {\"kind\": \"Placement\", \"metadata\": {\"name\": \"b\"}}\n";

    fn names(text: &str) -> Result<Vec<String>, Failure> {
        Ok(parse(Path::new("x.yaml"), text)?.into_iter().map(|resource| resource.name).collect())
    }

    #[test]
    fn a_file_has_several_documents_or_a_list() {
        assert_eq!(names(TWO).unwrap(), ["a", "b"]);
        let list = format!("{{\"items\": [{}]}}", r#"{"kind": "Placement", "metadata": {"name": "c"}}"#);
        assert_eq!(names(&list).unwrap(), ["c"]);
    }

    #[test]
    fn what_is_no_policy_is_a_wrong_file_and_says_why() {
        for (text, why) in [
            ("kind: Bridge\nmetadata: {name: x}", "kind 'Bridge'"),
            ("kind: Placement\nmetadata: {}", "metadata.name"),
            ("", "nothing in it"),
            ("a: [1", "line"),
            ("kind: Placement\nmetadata: {name: 7}", "metadata.name"),
        ] {
            let failure = names(text).unwrap_err();
            assert!(failure.exit == Exit::Config && failure.reason().contains(why), "{text}: {failure}");
        }
    }

    #[test]
    fn a_difference_is_what_is_wanted_otherwise_and_not_what_is_left_to_its_default() {
        let policy = |spec: Value| json!({"kind": KIND, "metadata": {"name": "a", "revision": 9}, "spec": spec});
        let held = policy(json!({
            "topics": ["a/#"], "home": {"region": "eu"}, "replicas": 2, "spread": "zone", "fallback": [],
            "shards": 64, "retained": {"replicate_below": 1024}, "remoteSubscribers": "forward",
        }));
        let same = policy(json!({"topics": ["a/#"], "home": {"region": "eu"}, "replicas": 2}));
        assert_eq!(differences(Some(&held), &same), []);
        let other = policy(json!({"topics": ["a/#", "b"], "home": {"selector": {"disk": "nvme"}}, "shards": 32}));
        let found: Vec<String> = differences(Some(&held), &other)
            .into_iter()
            .map(|(path, before, after)| format!("{path} {} {}", before.unwrap_or_default(), after.unwrap_or_default()))
            .collect();
        let wanted = [
            r#"spec.topics ["a/#"] ["a/#","b"]"#,
            "spec.replicas 2 1",
            r#"spec.home.region "eu" null"#,
            "spec.shards 64 32",
            r#"spec.home.selector.disk null "nvme""#,
        ];
        assert_eq!(found, wanted);
        assert!(
            differences(None, &same).iter().any(|(path, before, _)| path == "spec.home.region" && before.is_none())
        );
    }
}
