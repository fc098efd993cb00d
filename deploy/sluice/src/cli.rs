//! The command line.

use std::{
    io::Write as _,
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU16,
    path::PathBuf,
};

use clap::{Args, Parser, Subcommand, error::ErrorKind};
use sluice_dataplane_server::{OnDamage, config::Bind};

use crate::{
    config, control,
    demo::{self, DemoArgs},
    exit::Failure,
    healthcheck, password, serve, tie, version,
};

/// A distributed MQTT broker.
#[derive(Parser)]
#[command(name = "sluice", version, about, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Ends when the process of this number ends, which has started this one
    #[arg(long, hide = true, value_name = "PID")]
    tied_to: Option<u32>,
}

#[derive(Subcommand)]
enum Command {
    /// Runs a broker to try things with: on this machine only, without passwords, without a configuration file
    Dev(DevArgs),
    /// Runs a cluster to try things with: control and nodes as processes on this machine, in one region or several
    Demo(DemoArgs),
    /// Runs a node
    Node {
        /// The configuration file
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
        /// Starts although the log of the store is damaged: what was stored behind the damage is lost for good. Use it
        /// once, when there is no copy to restore
        #[arg(long)]
        accept_loss: bool,
    },
    /// Runs a replica of control: plans where shards live, and pushes that to the nodes
    Control {
        /// The configuration file
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Checks a configuration file, or prints what it may contain
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Asks a running node whether it is well; exit code 0 or 1
    Healthcheck(HealthArgs),
    /// Hashes a password for a password file; reads it from standard input
    Password(PasswordArgs),
    /// Prints the version
    Version {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

/// Arguments of `sluice dev`.
#[derive(Args)]
pub(crate) struct DevArgs {
    /// Where clients connect with MQTT; port 0 is any free one
    #[arg(long, value_name = "ADDR", default_value_t = Bind::Tcp((Ipv4Addr::LOCALHOST, 1883).into()))]
    pub(crate) mqtt: Bind,
    /// Where clients connect with MQTT over WebSocket
    #[arg(long, value_name = "ADDR", default_value_t = Bind::Tcp((Ipv4Addr::LOCALHOST, 8083).into()))]
    pub(crate) ws: Bind,
    /// Where operators and Prometheus look
    #[arg(long, value_name = "ADDR", default_value_t = ADMIN)]
    pub(crate) admin: SocketAddr,
    /// Keeps sessions and messages in this directory; without it they are gone at the end
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Threads that serve clients; without it one for each CPU
    #[arg(long, value_name = "N")]
    pub(crate) workers: Option<NonZeroU16>,
}

/// `sluice config …`.
#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    /// Checks a file and everything it names, and shows what holds at each listener
    Check {
        /// The configuration file
        file: PathBuf,
    },
    /// Prints a file with every key at its default
    Default,
    /// Prints the JSON Schema
    Schema,
}

/// Arguments of `sluice healthcheck`.
#[derive(Args)]
pub(crate) struct HealthArgs {
    /// Asks whether the node takes clients, instead of whether its process lives
    #[arg(long)]
    pub(crate) ready: bool,
    /// The node's port for operators
    #[arg(long, value_name = "ADDR", default_value_t = ADMIN)]
    pub(crate) admin: SocketAddr,
}

/// Arguments of `sluice password`.
#[derive(Args)]
pub(crate) struct PasswordArgs {
    /// The user; prints a whole line for the password file
    pub(crate) user: Option<String>,
    /// For SCRAM-SHA-256 instead of plain passwords
    #[arg(long)]
    pub(crate) scram: bool,
}

/// Does what the command line says.
pub(crate) fn run() -> Result<(), Failure> {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            return Ok(write!(std::io::stdout(), "{error}")?);
        }
        Err(error) => {
            let text = error.render().to_string();
            return Err(Failure::usage(text.strip_prefix("error: ").unwrap_or(&text).trim_end()));
        }
    };
    if let Some(parent) = cli.tied_to {
        tie::to_parent(parent)?;
    }
    match cli.command {
        Command::Demo(args) => demo::run(args),
        Command::Dev(args) => serve::dev(args),
        Command::Node { config, accept_loss } => serve::node(&config, OnDamage::of_flag(accept_loss)),
        Command::Control { config } => control::run(&config),
        Command::Config(command) => config::run(&command),
        Command::Healthcheck(args) => healthcheck::run(&args),
        Command::Password(args) => password::run(&args),
        Command::Version { json } => version::run(json),
    }
}

const ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7090);
