//! A replica of control as a process: the reconciler and what carries out what it says.
//!
//! ```text
//!  store ──watch──►┐                        ┌──► store (one write at a time)
//!  lease ─────────►│        driver          │──► channels ──► push streams
//!  push streams ──►│  (owns the reconciler) │──► push streams (interest)
//!  HTTP ──asks────►└────────────────────────┘
//! ```

mod channels;
mod desk;
mod driver;
mod election;
mod kept;
mod process;
mod streams;
mod witness;

pub use self::{
    desk::Desk,
    driver::{Handle, Stopping},
    kept::JoinTokens,
    process::{ControlServer, StartError},
};
pub(crate) use self::{
    driver::wall_ms,
    kept::{LAYOUT, hex, open, seal},
};
