//! Asking the node's threads how they are.

use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

use sluice_dataplane_core::Stats;

use crate::{
    mailbox::{Letter, Mailbox, Report},
    stats::DriverStats,
};

/// The reports that come within `patience`: each thread answers at the end of its present turn.
pub(super) fn ask<'a>(threads: impl Iterator<Item = &'a Mailbox>, patience: Duration) -> Vec<Report> {
    let (answer, reports) = mpsc::channel();
    let asked = Instant::now();
    let count = threads.map(|mailbox| mailbox.post(Letter::Report(answer.clone()))).count();
    drop(answer);
    let next = || reports.recv_timeout(patience.saturating_sub(asked.elapsed())).ok();
    std::iter::from_fn(next).take(count).collect()
}

/// The counters of all threads together.
pub(super) fn sum(reports: Vec<Report>) -> (Stats, DriverStats) {
    let (mut stats, mut driver) = (Stats::default(), DriverStats::default());
    for report in reports {
        stats.add(&report.stats);
        driver.add(&report.driver);
    }
    (stats, driver)
}
