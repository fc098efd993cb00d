//! `sluicectl`: a client of the HTTP interface of control, and of nothing else. Whatever it does, `curl` can do.
//!
//! ```text
//! command line ──► commands (pure) ──requests──► World: HTTP, files, terminal
//!                        ▲                             │
//!                        └──────────answers────────────┘
//!                  tables, JSON, … (pure) ──► standard output; chatter ──► standard error
//! ```
//!
//! [`run`] decides what is asked and what is shown, through the trait [`world::World`]; [`http`] and [`terminal`] do it.
//! [`commands`] is the one table of commands with the routes that each asks.

pub mod cli;
pub mod commands;
pub mod contexts;
pub mod failure;
pub mod http;
mod local;
pub mod output;
pub mod request;
pub mod route;
pub mod run;
pub mod target;
pub mod terminal;
pub mod view;
pub mod world;
mod yaml;

use std::{
    ffi::OsString,
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use clap::error::ErrorKind;

use self::{
    cli::{Cli, Connection},
    contexts::Contexts,
    failure::{Exit, Failure},
    http::Control,
    run::{Outcome, Run},
    terminal::{Terminal, read_file},
    world::World as _,
};

/// Runs a command line, and says on standard error why it did not do what it was asked to.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let exit = match parsed(args).and_then(|cli| cli.map_or(Ok(Exit::Ok), execute)) {
        Ok(exit) => exit,
        Err(failure) => {
            if failure.exit != Exit::Ok {
                // Nothing is left to tell when even this fails.
                let _ = writeln!(io::stderr(), "error: {failure}");
            }
            failure.exit
        }
    };
    ExitCode::from(exit as u8)
}

/// The command line; `None`: it asked for help, which has been shown.
fn parsed(args: impl IntoIterator<Item = OsString>) -> Result<Option<Cli>, Failure> {
    match run::parse(args) {
        Ok(cli) => Ok(Some(cli)),
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            // Whoever reads it may have seen enough.
            let _ = write!(io::stdout(), "{}", error.render());
            Ok(None)
        }
        Err(error) if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Err(Failure::usage(format!("a command is missing\n\n{}", error.render().to_string().trim_end())))
        }
        Err(error) => {
            let text = error.render().to_string();
            Err(Failure::usage(text.strip_prefix("error: ").unwrap_or(&text).trim_end()))
        }
    }
}

fn execute(cli: Cli) -> Outcome {
    let Cli { connection, command } = cli;
    let is_unattended = variable("CI").is_some();
    let is_plain =
        connection.no_color || variable("NO_COLOR").is_some() || is_unattended || !io::stdout().is_terminal();
    if let Some(result) = local::run(&command, &connection) {
        let (shown, format) = result?;
        Terminal::new(None, is_unattended).show(&shown.text(format, !is_plain)?)?;
        return Ok(shown.exit);
    }
    let mut terminal = Terminal::new(Some(control(&connection)?), is_unattended);
    Run { world: &mut terminal, has_colour: !is_plain }.command(command)
}

/// Control, as flags, environment or context say.
fn control(connection: &Connection) -> Result<Control, Failure> {
    let contexts = Contexts::path(variable).map_or_else(|| Ok(Contexts::default()), |path| Contexts::load(&path))?;
    let target = target::resolve(connection, &variable, &contexts, &read_file)?;
    if target.is_exposed() {
        Terminal::new(None, true).note("warning: the token goes over the network as it is: https:// keeps it secret");
    }
    Control::new(&target, connection.timeout)
}

/// A variable of the environment, unless it is empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
