//! One suite for every store: what the trait promises holds, whoever keeps it. Then what only etcd can do: lose members and
//! its leader, compact under a watch, let a lease run out, ask for passwords and certificates.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic names the test")]

mod etcd;
mod process;
mod suite;

use std::sync::Arc;

use sluice_controlplane_store::{Embedded, Memory};

/// Holds a store to every promise.
macro_rules! suite {
    ($name:ident, $open:expr) => {
        mod $name {
            use super::*;

            suite! { @each $open;
                a_transaction_is_written_whole_or_not_at_all
                an_entry_knows_when_it_was_created_and_modified
                a_listing_is_of_one_revision_and_of_its_prefix_only
                a_listing_of_many_entries_is_complete
                of_writers_that_race_exactly_one_wins_each_round
                a_watch_says_everything_once_in_order_and_together
                a_watch_begins_with_a_listing_or_where_it_is_told
                a_watch_from_before_a_compaction_lists_again
                what_no_store_can_take_is_refused
                one_candidate_leads_at_a_time_and_the_next_one_follows
                a_leadership_that_is_dropped_is_given_up
                the_status_says_what_it_is
            }
        }
    };
    (@each $open:expr; $($test:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let (store, _keep) = $open.await;
                suite::$test(store).await;
            }
        )*
    };
}

suite!(memory, async { (Arc::new(Memory::default()), ()) });
suite!(embedded, async {
    let dir = tempfile::tempdir().unwrap();
    (Arc::new(Embedded::open(dir.path()).unwrap()), dir)
});
suite!(etcd_store, async {
    let cluster = process::Cluster::start(1).await;
    (Arc::new(cluster.connect().await), cluster)
});
