//! Arguments that many commands have.

#![allow(rustdoc::bare_urls, reason = "it is shown on a terminal as it stands here")]

use std::{path::PathBuf, time::Duration};

use clap::Args;

use crate::output::Format;

/// Which cluster, and who asks.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Which cluster")]
pub struct Connection {
    /// Control's HTTP interface, such as https://control1.example.com:7080; several replicas with commas between them
    /// [environment: SLUICE_SERVER; without: http://127.0.0.1:7080]
    #[arg(long, global = true, value_name = "URL")]
    pub server: Option<String>,
    /// The token. Others on this machine can read command lines: better a file [environment: SLUICE_TOKEN]
    #[arg(long, global = true, value_name = "TOKEN", conflicts_with = "token_file")]
    pub token: Option<String>,
    /// A file with the token [environment: SLUICE_TOKEN_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Certificates of the authority that control's certificate comes from, as PEM; without it those of this system
    /// [environment: SLUICE_CA]
    #[arg(long, global = true, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// A context that was added, instead of the one in use and of the environment [environment: SLUICE_CONTEXT]
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// For how long an answer is waited for
    #[arg(long, global = true, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "30s")]
    pub timeout: Duration,
    /// No colours; they are left out too where NO_COLOR or CI is set, and where output goes to no terminal
    #[arg(long, global = true)]
    pub no_color: bool,
}

/// How a result is written.
#[derive(Args, Clone, Debug)]
pub struct Output {
    /// How the result is written
    #[arg(short = 'o', long = "output", value_enum, value_name = "FORMAT", default_value_t)]
    pub format: Format,
}

/// How something is looked at.
#[derive(Args, Clone, Debug)]
pub struct Look {
    /// How the result is written.
    #[command(flatten)]
    pub output: Output,
    /// Looks again and again, and shows what has changed, until it is interrupted
    #[arg(short, long)]
    pub watch: bool,
    /// How often it looks with --watch
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "2s")]
    pub interval: Duration,
}

/// How something is changed.
#[derive(Args, Clone, Debug)]
pub struct Write {
    /// Does it without asking
    #[arg(short, long)]
    pub yes: bool,
    /// Says what would be done, and does nothing
    #[arg(long)]
    pub dry_run: bool,
    /// How the result is written.
    #[command(flatten)]
    pub output: Output,
}
