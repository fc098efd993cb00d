//! Looks after the disk four times a second: is there room, has what was synced a
//! witness in the log, and, with [`Durability::Async`], is the log synced.

use std::{
    io,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use crate::{Answer, Durability, MinFree, commit, fatal::AbortOnPanic, store::Shared};

/// The life of the watching thread. `writable` is what the workers were told last.
pub(crate) fn run(shared: &Arc<Shared>, mut writable: bool) {
    let _guard = AbortOnPanic;
    let (mut synced_ops, mut witnessed) = (0, 0);
    while !shared.watch.wait_closed(EVERY) {
        if shared.options.durability == Durability::Async {
            let ops = shared.counters.ops.load(Ordering::Relaxed);
            if ops != synced_ops {
                commit::sync(shared);
                synced_ops = ops;
            }
        }
        let synced = shared.synced.load(Ordering::Relaxed);
        if synced > witnessed {
            commit::write_witness(shared);
            witnessed = synced;
        }
        writable = look(shared, writable);
    }
}

/// Compares the free space with its bound, and tells the workers when the answer is another than `before`.
pub(crate) fn look(shared: &Shared, before: bool) -> bool {
    let space = match Space::of(&shared.path) {
        Ok(space) => space,
        Err(error) => {
            tracing::warn!(%error, path = %shared.path.display(), "cannot ask for the free space of the data folder");
            return before;
        }
    };
    shared.free_bytes.store(space.free, Ordering::Relaxed);
    let now = space.writable(shared.options.min_free, before);
    if now != before {
        let (path, free_bytes, min_free_bytes) =
            (shared.path.display(), space.free, shared.options.min_free.bytes(space.total));
        if now {
            tracing::info!(%path, free_bytes, min_free_bytes, "there is room again; durable work is taken");
        } else {
            tracing::warn!(%path, free_bytes, min_free_bytes, "the disk is nearly full; refusing new durable work until there is room");
        }
        (shared.answers)(Answer::Writable(now));
    }
    now
}

/// What a file system says of itself, bytes.
#[derive(Clone, Copy, Debug)]
struct Space {
    free: u64,
    total: u64,
}

impl Space {
    /// The file system that holds `path`; free is what a process without privileges may use.
    fn of(path: &Path) -> io::Result<Self> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(Self {
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
            total: stat.f_blocks.saturating_mul(stat.f_frsize),
        })
    }

    /// An eighth more than the bound is asked for before work is taken again, so that the answer does not flicker.
    fn writable(self, min_free: MinFree, before: bool) -> bool {
        let bound = min_free.bytes(self.total);
        self.free >= if before { bound } else { bound.saturating_add(bound / 8) }
    }
}

/// Four looks while a fast disk takes as much as is kept free at least; asking costs a microsecond.
const EVERY: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    fn space(free: u64) -> Space {
        Space { free, total: 1 << 40 }
    }

    #[test]
    fn work_is_refused_below_the_bound_and_taken_again_well_above_it() {
        let bound = MinFree::Bytes(800);
        assert!(space(800).writable(bound, true));
        assert!(!space(799).writable(bound, true));
        assert!(!space(899).writable(bound, false));
        assert!(space(900).writable(bound, false));
    }

    #[test]
    fn the_bound_follows_the_size_of_the_disk_within_limits() {
        const GIB: u64 = 1 << 30;
        assert_eq!(MinFree::Auto.bytes(GIB), GIB / 4);
        assert_eq!(MinFree::Auto.bytes(50 * GIB), GIB);
        assert_eq!(MinFree::Auto.bytes(5000 * GIB), 4 * GIB);
    }
}
