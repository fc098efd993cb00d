//! Which crate may use which: the house's floors, read from what cargo knows.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::Violation;

/// A crate of this workspace: its folder, and what it uses when it is built for use (not for its tests).
#[derive(Clone, Debug)]
pub struct Member {
    /// From the root of the tree, such as `shared/topic`.
    pub folder: String,
    /// Members used directly, by folder.
    pub uses: BTreeSet<String>,
    /// Members used directly by its tests too.
    pub tests_use: BTreeSet<String>,
    /// Crates of others used, directly or through any other crate.
    pub reaches: BTreeSet<String>,
    /// Crates of others used directly.
    pub foreign: BTreeSet<String>,
}

/// What a crate may use of this workspace. A crate that is not listed may be used by nothing but tests, benches and
/// programs.
const MAY_USE: [(&str, &[&str]); 16] = [
    ("shared/topic", &[]),
    ("shared/mqtt", &[]),
    ("shared/cluster", &["shared/topic", "proto"]),
    ("shared/discovery", &["shared/cluster", "proto"]),
    ("shared/service", &[]),
    ("proto", &[]),
    ("proto/service", &["proto"]),
    ("dataplane/access", &["shared/topic"]),
    ("dataplane/auth", &["dataplane/access"]),
    ("dataplane/core", &["shared/topic", "shared/mqtt", "shared/cluster", "dataplane/access"]),
    ("dataplane/store", &["shared/cluster", "dataplane/core"]),
    ("dataplane/server", &["shared", "dataplane", "proto"]),
    ("controlplane/core", &["shared/topic", "shared/cluster", "shared/discovery"]),
    ("controlplane/store", &["shared/topic", "shared/cluster", "controlplane/core"]),
    (
        "controlplane/server",
        &["shared/topic", "shared/cluster", "shared/discovery", "shared/service", "controlplane", "proto"],
    ),
    ("controlplane/ctl", &[]),
];

/// Crates that decide: no I/O, no clock, no randomness, no threads, no `async`.
pub const PURE: [&str; 7] = [
    "shared/topic",
    "shared/mqtt",
    "shared/cluster",
    "shared/discovery",
    "dataplane/access",
    "dataplane/core",
    "controlplane/core",
];

/// What a crate that decides must not reach through any other.
const IMPURE: [&str; 12] = [
    "tokio",
    "mio",
    "quinn",
    "tonic",
    "hyper",
    "warp",
    "rustls",
    "rocksdb",
    "etcd-client",
    "rand",
    "getrandom",
    "socket2",
];

/// Who alone may use these crates directly.
const ONLY: [(&str, &[&str]); 6] = [
    ("rocksdb", &["dataplane/store", "controlplane/store"]),
    ("etcd-client", &["controlplane/store"]),
    ("tonic", &["proto/service", "dataplane/server", "controlplane/server"]),
    ("quinn", &["dataplane/server"]),
    ("warp", &["dataplane/server", "controlplane/server"]),
    ("serde_yaml", &["shared/service", "dataplane/auth", "controlplane/ctl"]),
];

/// Checks all members against the rules.
#[must_use]
pub fn check(members: &[Member]) -> Vec<Violation> {
    members.iter().flat_map(check_member).collect()
}

fn check_member(member: &Member) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut refuse = |what: String| found.push(Violation::of(format!("{}/Cargo.toml", member.folder), what));
    let folder = member.folder.as_str();
    if is_product(folder) {
        match MAY_USE.iter().find(|(name, _)| *name == folder) {
            None => refuse("this crate has no place among the layers".into()),
            Some((_, allowed)) => {
                let outside = |used: &&String| !allowed.iter().any(|part| is_within(used, part));
                member.uses.iter().filter(outside).for_each(|used| refuse(format!("must not use {used}")));
            }
        }
        for (name, owners) in ONLY {
            if member.foreign.contains(name) && !owners.contains(&folder) {
                refuse(format!("must not use {name}: that is for {}", owners.join(", ")));
            }
        }
    }
    let other = if is_within(folder, "dataplane") { "controlplane" } else { "dataplane" };
    if is_within(folder, "dataplane") || is_within(folder, "controlplane") {
        let crossing = member.tests_use.iter().filter(|used| is_within(used, other));
        crossing.for_each(|used| refuse(format!("one plane must not know the other, but uses {used}")));
    }
    if PURE.contains(&folder) {
        let reached = IMPURE.into_iter().filter(|name| member.reaches.contains(*name));
        reached.for_each(|name| refuse(format!("decides and must not reach {name}")));
    }
    if is_within(folder, "dataplane") && member.reaches.contains("etcd-client") {
        refuse("a node never talks to etcd".into());
    }
    found
}

/// Whether a crate is part of the product, as opposed to a program that puts it together, a test or a bench.
fn is_product(folder: &str) -> bool {
    ["shared", "dataplane", "controlplane", "proto"].into_iter().any(|top| is_within(folder, top))
}

fn is_within(folder: &str, part: &str) -> bool {
    folder.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Asks cargo about the workspace at `root`.
///
/// # Errors
/// Cargo failed, or said something that is not understood.
pub fn members(root: &Path) -> Result<Vec<Member>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--format-version", "1", "--locked"]).current_dir(root);
    let output = command.output().context("running cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    understand(&serde_json::from_slice(&output.stdout)?)
}

fn understand(metadata: &Value) -> Result<Vec<Member>> {
    let root = text(metadata, "workspace_root")?;
    let mut packages = BTreeMap::new();
    for package in list(metadata, "packages")? {
        packages.insert(text(package, "id")?, package);
    }
    let mut nodes = BTreeMap::new();
    for node in list(metadata.get("resolve").context("resolve")?, "nodes")? {
        nodes.insert(text(node, "id")?, node);
    }
    let workspace = Workspace { root, packages, nodes };
    let ids = list(metadata, "workspace_members")?.iter().filter_map(Value::as_str);
    ids.map(|id| workspace.member(id)).collect()
}

struct Workspace<'a> {
    root: &'a str,
    packages: BTreeMap<&'a str, &'a Value>,
    nodes: BTreeMap<&'a str, &'a Value>,
}

impl<'a> Workspace<'a> {
    fn member(&self, id: &'a str) -> Result<Member> {
        let folder = self.folder(id)?.context("a member has no folder")?;
        let mut member = Member {
            folder,
            uses: BTreeSet::new(),
            tests_use: BTreeSet::new(),
            reaches: BTreeSet::new(),
            foreign: BTreeSet::new(),
        };
        for (used, for_use) in self.uses(id)? {
            match self.folder(used)? {
                Some(folder) => {
                    member.tests_use.insert(folder.clone());
                    member.uses.extend(for_use.then_some(folder));
                }
                None if for_use => {
                    member.foreign.insert(self.name(used)?.into());
                }
                None => {}
            }
        }
        let mut seen = BTreeSet::from([id]);
        let mut waiting = vec![id];
        while let Some(id) = waiting.pop() {
            for (used, for_use) in self.uses(id)? {
                if for_use && seen.insert(used) {
                    waiting.push(used);
                    if self.folder(used)?.is_none() {
                        member.reaches.insert(self.name(used)?.into());
                    }
                }
            }
        }
        Ok(member)
    }

    /// What a package uses, and whether for more than its tests and its build.
    fn uses(&self, id: &str) -> Result<Vec<(&'a str, bool)>> {
        let node = self.nodes.get(id).with_context(|| format!("no node {id}"))?;
        let used = list(node, "deps")?.iter().map(|dep| {
            let for_use = list(dep, "dep_kinds")?.iter().any(|kind| kind.get("kind").is_none_or(Value::is_null));
            Ok((text(dep, "pkg")?, for_use))
        });
        used.collect()
    }

    /// The folder of a member; `None` for a package from elsewhere.
    fn folder(&self, id: &str) -> Result<Option<String>> {
        let package = self.packages.get(id).with_context(|| format!("no package {id}"))?;
        let manifest = text(package, "manifest_path")?;
        let is_own = package.get("source").is_none_or(Value::is_null);
        let folder = Path::new(manifest).parent().and_then(|folder| folder.strip_prefix(self.root).ok());
        Ok(folder.filter(|_| is_own).map(|folder| folder.to_string_lossy().replace('\\', "/")))
    }

    fn name(&self, id: &str) -> Result<&'a str> {
        text(self.packages.get(id).with_context(|| format!("no package {id}"))?, "name")
    }
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value.get(key).and_then(Value::as_str).with_context(|| format!("no text at {key}"))
}

fn list<'a>(value: &'a Value, key: &str) -> Result<&'a [Value]> {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).with_context(|| format!("no list at {key}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(folder: &str, uses: &[&str], foreign: &[&str]) -> Member {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        Member {
            folder: folder.into(),
            uses: set(uses),
            tests_use: set(uses),
            reaches: set(foreign),
            foreign: set(foreign),
        }
    }

    fn refused(member: Member) -> usize {
        check(&[member]).len()
    }

    #[test]
    fn a_crate_that_reaches_over_its_layer_is_refused() {
        assert_eq!(refused(member("shared/mqtt", &["shared/topic"], &[])), 1);
        assert_eq!(refused(member("dataplane/core", &["dataplane/store"], &[])), 1);
        assert_eq!(refused(member("dataplane/core", &[], &["tokio"])), 1);
        assert_eq!(refused(member("dataplane/server", &["controlplane/core"], &[])), 2);
        assert_eq!(refused(member("controlplane/server", &["shared/mqtt"], &[])), 1);
        assert_eq!(refused(member("dataplane/server", &[], &["rocksdb"])), 1);
        assert_eq!(refused(member("dataplane/server", &[], &["etcd-client"])), 2);
        assert_eq!(refused(member("shared/leftovers", &[], &[])), 1);
    }

    #[test]
    fn a_crate_within_its_layer_is_left_alone() {
        assert_eq!(refused(member("dataplane/core", &["shared/topic", "shared/mqtt"], &["bytes"])), 0);
        assert_eq!(refused(member("dataplane/server", &["shared/service", "dataplane/store"], &["mio", "tonic"])), 0);
        assert_eq!(refused(member("deploy/sluice", &["dataplane/server", "controlplane/server"], &[])), 0);
    }

    #[test]
    fn a_test_of_one_plane_that_uses_the_other_is_refused() {
        let mut crossing = member("dataplane/server", &[], &[]);
        crossing.tests_use.insert("controlplane/server".into());
        assert_eq!(refused(crossing), 1);
    }
}
