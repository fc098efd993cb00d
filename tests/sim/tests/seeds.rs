//! Runs of whole clusters: many seeds, and some of them twice.

use sluice_tests_sim::run;

#[test]
fn clusters_keep_their_promises_whatever_fails() {
    for seed in 1..=500 {
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
