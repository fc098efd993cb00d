//! Every command in one table: which routes of the interface it asks, and examples. The help and the reference page are made
//! from it, and a test runs every example and sees that it asks these routes and no others.

use clap::CommandFactory as _;

use crate::{
    cli::Cli,
    route::Route::{self, *},
};

/// A command that does something, as opposed to one that has commands below it.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its words behind `sluicectl`.
    pub words: &'static str,
    /// What it asks control for.
    pub routes: &'static [Route],
    /// Command lines without `sluicectl`, each with what it is for.
    pub examples: &'static [(&'static str, &'static str)],
}

const fn row(words: &'static str, routes: &'static [Route], examples: &'static [(&'static str, &'static str)]) -> Row {
    Row { words, routes, examples }
}

/// All commands, in the order of the help.
pub const COMMANDS: [Row; 49] = [
    row(
        "status",
        &[Overview, Nodes, ClusterStatus],
        &[("status -w", "stays and shows what changes"), ("status --short", "one line")],
    ),
    row(
        "check",
        &[Health, Whoami, Ready, Overview, Store, Nodes, Links, Placement],
        &[
            ("check", "everything, with what to do where it is not well"),
            ("check --wait 60s -o short", "after an update: waits until all is well, and says what is not"),
        ],
    ),
    row("nodes ls", &[Nodes], &[("nodes ls -o wide", "with addresses and labels")]),
    row("nodes sync", &[Nodes], &[("nodes sync", "which node lags behind or refuses what control pushes")]),
    row("nodes describe", &[Nodes, Node], &[("nodes describe region=eu", "the one node of that label")]),
    row("nodes cordon", &[Nodes, PatchNode], &[("nodes cordon 4f2a", "an id may be cut short")]),
    row("nodes uncordon", &[Nodes, PatchNode], &[("nodes uncordon 4f2a", "also ends a drain")]),
    row(
        "nodes drain",
        &[Nodes, DrainNode, Node],
        &[("nodes drain 4f2a --wait 10m --yes", "waits until it has no shards and no clients, and asks nothing")],
    ),
    row(
        "nodes remove",
        &[Nodes, Node, RemoveNode],
        &[
            ("nodes remove 4f2a --yes", "a node that has been drained"),
            ("nodes remove 4f2a --lost --dry-run", "a node whose disk is gone: what would be done"),
        ],
    ),
    row(
        "nodes label",
        &[Nodes, Node, PatchNode],
        &[("nodes label 4f2a disk=nvme owner-", "sets one label, takes away another")],
    ),
    row("nodes weight", &[Nodes, PatchNode], &[("nodes weight 4f2a 200", "takes twice what others take")]),
    row(
        "nodes token create",
        &[NodeToken],
        &[("nodes token create --ttl 10m", "alone on standard output: > join-token")],
    ),
    row(
        "placement ls",
        &[Policies],
        &[("placement ls", "all policies"), ("placement ls -o yaml", "to be kept and applied")],
    ),
    row("placement get", &[Policy], &[("placement get factory-eu", "as it can be put")]),
    row(
        "placement show",
        &[Nodes, Placement],
        &[
            ("placement show --by-node", "how many shards each node has"),
            ("placement show --node 4f2a", "those of one node"),
            ("placement show --moving -w", "what is on its way"),
        ],
    ),
    row("placement put", &[Policy, PutPolicy], &[("placement put -f factory.yaml", "the same as apply -f")]),
    row("placement delete", &[Policy, DeletePolicy], &[("placement delete factory-eu --dry-run", "what would move")]),
    row(
        "placement plan",
        &[MakePlan, Plan],
        &[
            ("placement plan -f factory.yaml --out plan.json", "what would move; nothing does yet"),
            ("placement plan --delete factory-eu --detailed-exitcode", "ends with 2 if that changes something"),
            ("placement plan p-1f3a", "one that was made before"),
        ],
    ),
    row(
        "placement apply",
        &[Plan, ApplyPlan, Overview],
        &[
            ("placement apply p-1f3a --wait 10m", "shows it, asks, and waits until nothing moves"),
            ("placement apply plan.json --yes", "a plan that was written to a file"),
        ],
    ),
    row(
        "placement suggest",
        &[Suggestions],
        &[
            ("placement suggest", "where topics would rather live, by their subscribers"),
            ("placement suggest --policies", "as policies, to be planned: | sluicectl placement plan -f -"),
        ],
    ),
    row("placement diff", &[Policy], &[("placement diff -f factory.yaml", "the same as diff -f")]),
    row("placement history", &[Revisions], &[("placement history", "the latest first")]),
    row("placement rollback", &[Restore], &[("placement rollback 41 --yes", "the policies as revision 41 had them")]),
    row(
        "placement simulate",
        &[Nodes, Simulate],
        &[
            ("placement simulate --kill 4f2a", "what stops, what fails over, what is repaired"),
            ("placement simulate --loss eu", "the same of a whole region"),
        ],
    ),
    row("placement pause", &[Pause], &[("placement pause", "what is on its way arrives, nothing new moves")]),
    row("placement resume", &[Resume], &[("placement resume", "ends a pause")]),
    row("topics where", &[TopicWhere], &[("topics where factory/eu/line1/temp", "policy, shard, home, subscribers")]),
    row("links ls", &[Links], &[("links ls -o csv", "for a spreadsheet")]),
    row("links matrix", &[Links, Nodes], &[("links matrix", "by region")]),
    row("store status", &[Store], &[("store status", "size against quota, and every member")]),
    row(
        "store accept",
        &[AcceptStore],
        &[("store accept --yes", "after etcd was restored from a backup, and no later one is there")],
    ),
    row("alarms ls", &[Alarms], &[("alarms ls -o jsonl", "for a program")]),
    row("token ls", &[Tokens], &[("token ls", "whose they are and until when")]),
    row(
        "token create",
        &[MakeToken],
        &[("token create --name anna --role operator --ttl 90d", "alone on standard output")],
    ),
    row("token revoke", &[RevokeToken], &[("token revoke 9f86d081884c7d65 --yes", "by its id, as listed")]),
    row("whoami", &[Whoami], &[("whoami", "whose token this is")]),
    row(
        "get",
        &[Nodes, Node, Policies, Policy, Plan, Placement, Revisions, Links, Alarms, Tokens],
        &[("get nodes", "the same as nodes ls"), ("get placement factory-eu", "the same as placement get")],
    ),
    row("describe", &[Nodes, Node, Policy, Plan], &[("describe node 4f2a", "the same as nodes describe")]),
    row(
        "apply",
        &[Policy, PutPolicy],
        &[
            ("apply -f factory.yaml", "creates or changes what it says"),
            ("apply -f factory.yaml --dry-run", "what would move"),
        ],
    ),
    row("diff", &[Policy], &[("diff -f factory.yaml", "ends with 2 if applying it would change something")]),
    row(
        "delete",
        &[Policy, DeletePolicy, Nodes, Node, RemoveNode, RevokeToken],
        &[("delete placement factory-eu --yes", "by name"), ("delete -f factory.yaml --yes", "what a file names")],
    ),
    row("metrics", &[Metrics], &[("metrics", "of the replica that answers")]),
    row("openapi", &[OpenApi], &[("openapi -o yaml", "what curl can do as well")]),
    row(
        "context add",
        &[],
        &[(
            "context add prod --server https://control1.example.com:7080 --token-file prod.token --ca ca.pem",
            "keeps these under a name, and uses them from now on",
        )],
    ),
    row("context ls", &[], &[("context ls", "all, with a star at the one in use")]),
    row("context use", &[], &[("context use -", "the one before")]),
    row("context rm", &[], &[("context rm prod", "forgets it")]),
    row(
        "completion",
        &[],
        &[("completion bash", "to a file that the shell reads, such as /etc/bash_completion.d/sluicectl")],
    ),
    row("version", &[], &[("version --json", "for a program")]),
];

/// The command line with routes and examples in its help.
#[must_use]
pub fn command() -> clap::Command {
    COMMANDS.iter().fold(Cli::command(), |command, row| {
        let words: Vec<&str> = row.words.split(' ').collect();
        with_help(command, &words, row)
    })
}

fn with_help(command: clap::Command, words: &[&str], row: &Row) -> clap::Command {
    match words.split_first() {
        None => command.after_help(after_help(row)),
        Some((first, rest)) => command.mut_subcommand(*first, |command| with_help(command, rest, row)),
    }
}

/// Examples, and what to ask with curl instead.
fn after_help(row: &Row) -> String {
    let examples = row.examples.iter().map(|(line, meaning)| format!("  sluicectl {line}\n      {meaning}\n"));
    let routes = row.routes.iter().map(|route| format!("  {} {}\n", route.method(), route.path()));
    let mut text = format!("Examples:\n{}", examples.collect::<String>());
    if !row.routes.is_empty() {
        text += &format!("\nAsks control:\n{}", routes.collect::<String>());
    }
    text.trim_end().to_owned()
}
