//! Runs of whole clusters: many seeds, and some of them twice.

use sluice_tests_sim::run;

/// Seeds beyond those of every run that have found something: a message to a second member of a group, one out of order, a
/// retained message that came back, one that came twice at QoS 2.
const FOUND: [u64; 4] = [267, 892, 1338, 3315];

#[test]
fn clusters_keep_their_promises_whatever_fails() {
    for seed in (1..=500).chain(FOUND) {
        let report = run(seed, 300, false);
        assert_eq!(report.violation, None, "seed {seed}: cargo run -p sluice-tests-sim -- --seed {seed}");
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 1..=10 {
        let (once, again) = (run(seed, 300, false), run(seed, 300, false));
        assert_eq!((once.hash, once.messages), (again.hash, again.messages), "seed {seed}");
    }
}
