//! Whole clusters in one process and in virtual time: real workers, gates and links in a world where links break at any
//! byte, processes die, and disks lose what was not synced; clients that do what the specification says; and an account of
//! what they were promised. Everything random comes from a seed, so that a seed is a run.
//!
//! [`run`] is one run: so many steps, then everything heals and the books must balance. What must hold has the numbers of
//! the invariants in docs/ARCHITECTURE.md.

mod books;
mod client;
mod control;
mod director;
mod ledger;
mod node;
mod streams;
mod trace;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use ledger::Violation;
use world::World;

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was found wrong first.
    pub violation: Option<Violation>,
    /// Tells two runs apart: the same for the same seed.
    pub hash: u64,
    /// Messages that were published.
    pub messages: usize,
    /// What the world was like.
    pub shape: String,
    /// The last events, if they were asked for.
    pub lines: Vec<String>,
}

/// Runs a world of this seed for so many steps, and until everything has healed. A panic is a violation.
#[must_use]
pub fn run(seed: u64, steps: u32, verbose: bool) -> Report {
    let mut world = World::new(seed, verbose);
    let faults = world.populate();
    let shape = format!("{:?}, {} clients, {faults:?}", world.shape, world.clients.len());
    let played = catch_unwind(AssertUnwindSafe(|| {
        world.boot(faults);
        for _ in 0..steps {
            if world.ledger.violation.is_some() {
                return;
            }
            world.step(faults);
        }
        world.balance();
    }));
    if let Err(panic) = played {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default();
        world.ledger.fail("panic", || text);
    }
    Report {
        violation: world.ledger.violation.clone(),
        hash: world.trace.hash(),
        messages: world.ledger.messages.len(),
        shape,
        lines: world.trace.into_lines(),
    }
}
