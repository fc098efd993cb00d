//! The command line: what commands and arguments there are. What each does stands in [`crate::run`], and which routes it
//! needs, with examples, in [`crate::commands`].

#![allow(
    missing_docs,
    reason = "the groups of arguments have their text at their own types; here it would be the command's"
)]

mod args;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use self::args::{Connection, Look, Output, Write};

/// A client of the HTTP interface of Sluice's control: looks at a cluster and changes what is wanted of it.
#[derive(Parser, Debug)]
#[command(name = "sluicectl", version, about, disable_help_subcommand = true)]
pub struct Cli {
    /// Which cluster.
    #[command(flatten)]
    pub connection: Connection,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Shows the cluster on one screen: control, store, regions, alarms
    Status {
        /// One line instead
        #[arg(long)]
        short: bool,
        #[command(flatten)]
        look: Look,
    },
    /// Checks whether everything is well, and says what to do where it is not
    Check(CheckArgs),
    /// Nodes: what they are and hold; cordon, drain, remove; tokens to join with
    #[command(subcommand)]
    Nodes(Nodes),
    /// Policies and where shards live: plan, apply, history, rollback, simulate
    #[command(subcommand)]
    Placement(Placement),
    /// Topics
    #[command(subcommand)]
    Topics(Topics),
    /// Links between nodes, and how long a message takes on them
    #[command(subcommand)]
    Links(Links),
    /// The metadata store of control
    #[command(subcommand)]
    Store(Store),
    /// What somebody should do something about
    #[command(subcommand)]
    Alarms(Alarms),
    /// Tokens with which people and programs use this interface
    #[command(subcommand)]
    Token(Token),
    /// Shows whose token this is, and what it may do
    Whoami(Look),
    /// Lists things of a kind, or shows one of them
    Get {
        /// Which kind
        kind: Kind,
        /// Which of them
        name: Option<String>,
        #[command(flatten)]
        look: Look,
    },
    /// Shows all that is known of one thing
    Describe {
        /// Which kind
        kind: Kind,
        /// Which of them
        name: String,
        #[command(flatten)]
        look: Look,
    },
    /// Creates or changes what files say
    Apply(ApplyArgs),
    /// Shows what applying files would change; ends with 2 if it would change anything
    Diff(DiffArgs),
    /// Deletes what is named, or what files name
    Delete(DeleteArgs),
    /// Prints the figures of the replica that answers, as Prometheus reads them
    Metrics,
    /// Prints the OpenAPI document of the HTTP interface
    Openapi(Output),
    /// Clusters by name, so that --server and the rest need not be said
    #[command(subcommand)]
    Context(Context),
    /// Prints what a shell needs to complete command lines
    Completion {
        /// Which shell
        shell: Shell,
    },
    /// Prints the version of this program
    Version {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

/// Arguments of `check`.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// Tries again until everything is well, for so long at most, such as 60s
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub wait: Option<std::time::Duration>,
    /// How the result is written
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = CheckFormat::Table)]
    pub output: CheckFormat,
}

/// How the result of `check` is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum CheckFormat {
    /// All checks
    Table,
    /// Those that failed alone
    Short,
    /// All checks, for programs
    Json,
}

/// `nodes …`.
#[derive(Subcommand, Debug)]
pub enum Nodes {
    /// Lists nodes
    Ls(Look),
    /// Shows what each node holds of each type that control pushes: SYNCED, PENDING, NOT_SENT, REJECTED
    Sync(Look),
    /// Shows all that is known of a node
    Describe {
        #[command(flatten)]
        node: NodeRef,
        #[command(flatten)]
        look: Look,
    },
    /// Gives a node nothing new; it keeps what it has
    Cordon {
        #[command(flatten)]
        node: NodeRef,
        #[command(flatten)]
        write: Write,
    },
    /// Ends a cordon or a drain: the node takes shards again
    Uncordon {
        #[command(flatten)]
        node: NodeRef,
        #[command(flatten)]
        write: Write,
    },
    /// Sends a node's clients and brings its shards to other nodes
    Drain {
        #[command(flatten)]
        node: NodeRef,
        /// Waits until the node has no shards and no clients, for so long at most, such as 10m
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        wait: Option<std::time::Duration>,
        #[command(flatten)]
        write: Write,
    },
    /// Removes a node for ever: nobody comes back under its id
    Remove {
        #[command(flatten)]
        node: NodeRef,
        /// Its disk is gone: what only it had is given up
        #[arg(long)]
        lost: bool,
        #[command(flatten)]
        write: Write,
    },
    /// Gives a node labels that hold instead of its own, or takes them away again
    Label {
        #[command(flatten)]
        node: NodeRef,
        /// KEY=VALUE to set, KEY- to take away
        #[arg(required = true, value_name = "KEY=VALUE|KEY-")]
        labels: Vec<String>,
        #[command(flatten)]
        write: Write,
    },
    /// Says how much of the shards a node takes, against the others
    Weight {
        #[command(flatten)]
        node: NodeRef,
        /// The weight; other nodes have 100 unless said
        weight: u16,
        #[command(flatten)]
        write: Write,
    },
    /// Tokens with which machines become nodes
    #[command(subcommand)]
    Token(NodeToken),
}

/// `nodes token …`.
#[derive(Subcommand, Debug)]
pub enum NodeToken {
    /// Makes a token that lets one machine in, once, and prints it
    Create {
        /// For how long it can be used, such as 10m; 1h unless said
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        ttl: Option<std::time::Duration>,
        #[command(flatten)]
        output: Output,
    },
}

/// A node.
#[derive(Args, Debug)]
pub struct NodeRef {
    /// Its name, its id or the beginning of that, or LABEL=VALUE if only one node has it
    #[arg(value_name = "NODE")]
    pub node: String,
}

/// `placement …`.
#[derive(Subcommand, Debug)]
pub enum Placement {
    /// Lists policies
    Ls(Look),
    /// Shows a policy as it can be put
    Get {
        /// Its name
        name: String,
        #[command(flatten)]
        look: Look,
    },
    /// Shows which nodes have which shard
    Show {
        /// Only shards of this policy
        #[arg(long, value_name = "POLICY")]
        keyspace: Option<String>,
        /// Only shards of this node
        #[arg(long, value_name = "NODE")]
        node: Option<String>,
        /// Only shards on their way
        #[arg(long)]
        moving: bool,
        /// How many shards each node has, instead
        #[arg(long, conflicts_with_all = ["keyspace", "node", "moving"])]
        by_node: bool,
        #[command(flatten)]
        look: Look,
    },
    /// Creates or changes the policies of files
    Put(ApplyArgs),
    /// Deletes policies
    Delete {
        /// Their names
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        #[command(flatten)]
        write: Write,
    },
    /// Works out what changes of policies would move, and keeps that under an id; or shows such a plan. Moves nothing
    Plan {
        /// A plan that was made before
        #[arg(value_name = "ID", conflicts_with_all = ["file", "delete"], required_unless_present_any = ["file", "delete"])]
        id: Option<String>,
        /// Policies to put; - is what is piped in
        #[arg(short, long, value_name = "FILE")]
        file: Vec<PathBuf>,
        /// Policies to delete
        #[arg(long, value_name = "NAME")]
        delete: Vec<String>,
        /// Writes the plan to this file too, to be applied later
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Ends with 2 if the plan changes something
        #[arg(long)]
        detailed_exitcode: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Applies a plan; refused if something has changed since it was made
    Apply {
        /// Its id, or the file that it was written to
        #[arg(value_name = "ID|FILE")]
        plan: String,
        /// Waits until nothing moves any more, for so long at most, such as 10m
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        wait: Option<std::time::Duration>,
        #[command(flatten)]
        write: Write,
    },
    /// Shows what applying files would change; ends with 2 if it would change anything
    Diff(DiffArgs),
    /// Shows what was changed, by whom and when
    History(Look),
    /// Brings back the policies of a revision
    Rollback {
        /// Which, as in the history
        revision: u64,
        #[command(flatten)]
        write: Write,
    },
    /// Shows what a loss would do. Changes nothing
    Simulate {
        #[command(flatten)]
        loss: Loss,
        #[command(flatten)]
        look: Look,
    },
    /// Shows what would turn remote deliveries into local ones, by the traffic of the last minutes. Changes nothing
    Suggest {
        /// The policies that would do it, instead, to be planned
        #[arg(long)]
        policies: bool,
        #[command(flatten)]
        look: Look,
    },
    /// Lets nothing new move
    Pause(Write),
    /// Lets shards move again
    Resume(Write),
}

/// What is lost.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub struct Loss {
    /// A node: its name, its id or the beginning of that, or LABEL=VALUE
    #[arg(long, value_name = "NODE")]
    pub kill: Option<String>,
    /// All nodes of a region
    #[arg(long, value_name = "REGION")]
    pub loss: Option<String>,
}

/// `topics …`.
#[derive(Subcommand, Debug)]
pub enum Topics {
    /// Shows where a topic lives: its policy, shard and home, and the nodes with subscribers
    Where {
        /// The topic's name
        topic: String,
        #[command(flatten)]
        look: Look,
    },
}

/// `links …`.
#[derive(Subcommand, Debug)]
pub enum Links {
    /// Lists links
    Ls(Look),
    /// Shows round trips in milliseconds from every node to every other
    Matrix(Look),
}

/// `store …`.
#[derive(Subcommand, Debug)]
pub enum Store {
    /// Shows size, quota and members
    Status(Look),
    /// Goes on with a store that was restored from a backup: what happened after the backup is lost
    Accept(Write),
}

/// `alarms …`.
#[derive(Subcommand, Debug)]
pub enum Alarms {
    /// Lists alarms, the worst first
    Ls(Look),
}

/// `token …`.
#[derive(Subcommand, Debug)]
pub enum Token {
    /// Lists tokens, without their secrets
    Ls(Look),
    /// Makes a token and prints it: the only time that it can be seen
    Create {
        /// Whose it is, to tell it from others
        #[arg(long)]
        name: String,
        /// What it may do
        #[arg(long)]
        role: Role,
        /// For how long it is valid, such as 90d; for ever unless said
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        ttl: Option<std::time::Duration>,
        #[command(flatten)]
        output: Output,
    },
    /// Revokes a token
    Revoke {
        /// Its id, as listed
        id: String,
        #[command(flatten)]
        write: Write,
    },
}

/// What a token may do. A higher role may do all that a lower one may.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Role {
    /// Look
    Viewer,
    /// Change policies and what is done with nodes
    Operator,
    /// Let others in
    Admin,
}

impl Role {
    /// As control calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

/// Kinds of things.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Kind {
    /// Nodes
    #[value(name = "nodes", alias = "node")]
    Node,
    /// Policies
    #[value(name = "placements", alias = "placement", alias = "policies", alias = "policy")]
    Placement,
    /// Plans; they have to be named
    #[value(name = "plans", alias = "plan")]
    Plan,
    /// Shards; they cannot be named
    #[value(name = "shards", alias = "shard")]
    Shard,
    /// What was changed; cannot be named
    #[value(name = "revisions", alias = "revision")]
    Revision,
    /// Links; they cannot be named
    #[value(name = "links", alias = "link")]
    Link,
    /// Alarms; they cannot be named
    #[value(name = "alarms", alias = "alarm")]
    Alarm,
    /// Tokens; they cannot be named
    #[value(name = "tokens", alias = "token")]
    Token,
}

/// Files to apply.
#[derive(Args, Debug)]
pub struct ApplyArgs {
    /// Resources as YAML or JSON, several in one file if need be; - is what is piped in
    #[arg(short, long = "file", required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// How it is done.
    #[command(flatten)]
    pub write: Write,
}

/// Files to compare.
#[derive(Args, Debug)]
pub struct DiffArgs {
    /// Resources as YAML or JSON; - is what is piped in
    #[arg(short, long = "file", required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// How the result is written.
    #[command(flatten)]
    pub output: Output,
}

/// What to delete.
#[derive(Args, Debug)]
pub struct DeleteArgs {
    /// Which kind
    #[arg(requires = "names", required_unless_present = "files")]
    pub kind: Option<DeletableKind>,
    /// Which of them
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// What these files name
    #[arg(short, long = "file", value_name = "FILE", conflicts_with = "kind")]
    pub files: Vec<PathBuf>,
    /// How it is done.
    #[command(flatten)]
    pub write: Write,
}

/// Kinds of things that can be deleted by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum DeletableKind {
    /// Nodes, for ever
    #[value(name = "nodes", alias = "node")]
    Node,
    /// Policies
    #[value(name = "placements", alias = "placement", alias = "policies", alias = "policy")]
    Placement,
    /// Tokens
    #[value(name = "tokens", alias = "token")]
    Token,
}

/// `context …`.
#[derive(Subcommand, Debug)]
pub enum Context {
    /// Keeps what --server, --token or --token-file and --ca say under a name, and uses it from then on
    Add {
        /// The name
        name: String,
    },
    /// Lists contexts; the one in use has a star
    Ls(Output),
    /// Uses a context from now on; - is the one before
    Use {
        /// Its name
        name: String,
    },
    /// Forgets a context
    Rm {
        /// Its name
        name: String,
    },
}

/// Shells whose command lines can be completed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Shell {
    /// Bash
    Bash,
    /// Zsh
    Zsh,
    /// Fish
    Fish,
}
