//! `sluice`, the server: one executable, a role for each subcommand.

mod banner;
mod cli;
mod config;
mod control;
mod demo;
mod exit;
mod healthcheck;
mod memory;
mod password;
mod policy;
mod serve;
mod tie;
mod version;

use std::process::ExitCode;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    memory::decline_huge_pages();
    exit::code(cli::run())
}
