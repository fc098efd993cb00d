//! `sluice demo`: a cluster of real processes on one machine, with a network between them that can be made worse.
//!
//! The demo starts this same executable as `control` and as each `node`, with files that it writes. Nodes reach each
//! other through the [`relay`] and control through the [`tunnel`], which ask the one [`weather`] how long everything
//! takes, what is lost and what is cut. The [`stage`] owns the processes; `sluice demo kill` and the like speak to it
//! through the [`remote`] control.

mod args;
mod console;
mod files;
mod http;
mod load;
mod plan;
mod ports;
mod relay;
mod remote;
mod service;
mod stage;
mod tunnel;
mod weather;

use std::io::{self, Write as _};

use tokio::runtime::Builder;

pub(crate) use args::DemoArgs;
use args::{DemoCommand, StartArgs};
use files::Home;
use plan::Plan;
use ports::Ports;
use remote::{Earlier, Order, Reply};

use crate::exit::Failure;

/// Runs a demo, or asks the one that runs.
pub(crate) fn run(args: DemoArgs) -> Result<(), Failure> {
    match args.command {
        Some(command) => ask(command),
        None => start(&args.start),
    }
}

fn start(args: &StartArgs) -> Result<(), Failure> {
    let scene = args.scene().map_err(Failure::usage)?;
    let file = remote::file();
    match remote::earlier(&file) {
        Earlier::None => {}
        Earlier::Killed(left) => left.iter().for_each(|dir| files::remove_left_behind(dir)),
        Earlier::Running => {
            let hint = "end it first; or set XDG_RUNTIME_DIR to another directory, for this one and its commands";
            return Err(Failure::failed(format!("a demo of this user runs already\n  -> {hint}")));
        }
    }
    let plan = Plan::new(args, scene, &mut Ports::new(std::process::id())).map_err(Failure::failed)?;
    let home = Home::open(args.data.as_deref())?;
    // All processes are started by this thread, to which they are tied; the others carry packets.
    let runtime = Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
    runtime.block_on(stage::play(plan, &home, &file, args.load)).map_err(Failure::failed)
}

fn ask(command: DemoCommand) -> Result<(), Failure> {
    let order = match command {
        DemoCommand::Kill { node } => Order::Kill { node },
        DemoCommand::Start { node } => Order::Start { node },
        DemoCommand::Partition { a, b, span } => {
            Order::Partition { a, b, span_ms: span.map(sluice_service::config::Duration::as_millis) }
        }
        DemoCommand::Heal => Order::Heal,
        DemoCommand::Status => Order::Status,
    };
    match remote::ask(&remote::file(), &order).map_err(Failure::failed)? {
        Reply::Done(text) => Ok(writeln!(io::stdout(), "{text}")?),
        Reply::Refused(why) => Err(Failure::failed(why)),
    }
}

/// For the relay and the load; the nodes need the rest of the machine.
const THREADS: usize = 2;
