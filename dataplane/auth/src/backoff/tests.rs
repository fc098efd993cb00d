use super::*;

fn backoff() -> Backoff {
    Backoff::new(BackoffPolicy::default(), &[1; 32])
}

fn peer(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

#[test]
fn c17_failures_beyond_the_free_ones_block_for_doubling_times() {
    let (mut backoff, here) = (backoff(), peer("10.0.0.1"));
    let mut now = 1_000_000;
    for _ in 0..4 {
        backoff.failed(here, "alice", now);
        assert!(!backoff.is_blocked(here, "alice", now));
    }
    for block in [1_000, 2_000, 4_000, 8_000] {
        backoff.failed(here, "alice", now);
        assert!(backoff.is_blocked(here, "alice", now + block - 1), "{block}");
        assert!(!backoff.is_blocked(here, "alice", now + block), "{block}");
        now += block;
    }
    for _ in 0..100 {
        backoff.failed(here, "alice", now);
    }
    assert!(backoff.is_blocked(here, "alice", now + 299_999) && !backoff.is_blocked(here, "alice", now + 300_000));
}

#[test]
fn another_address_or_name_is_not_blocked() {
    let (mut backoff, here) = (backoff(), peer("2001:db8:1:2::1"));
    (0..6).for_each(|_| backoff.failed(here, "alice", 0));
    assert!(backoff.is_blocked(here, "alice", 0));
    assert!(backoff.is_blocked(peer("2001:db8:1:2:ffff::9"), "alice", 0), "the same /64");
    assert!(!backoff.is_blocked(peer("2001:db8:1:3::1"), "alice", 0));
    assert!(!backoff.is_blocked(here, "bob", 0) && !backoff.is_blocked(None, "alice", 0));
}

#[test]
fn an_ipv4_address_is_the_same_in_either_notation() {
    let mut backoff = backoff();
    (0..6).for_each(|_| backoff.failed(peer("10.0.0.1"), "alice", 0));
    assert!(backoff.is_blocked(peer("::ffff:10.0.0.1"), "alice", 0));
}

#[test]
fn success_and_time_forget_failures() {
    let (mut backoff, here) = (backoff(), peer("10.0.0.1"));
    (0..6).for_each(|_| backoff.failed(here, "alice", 0));
    backoff.succeeded(here, "alice");
    assert!(!backoff.is_blocked(here, "alice", 0));
    (0..100).for_each(|_| backoff.failed(here, "alice", 0));
    backoff.failed(here, "alice", 15 * 60_000);
    assert!(!backoff.is_blocked(here, "alice", 15 * 60_000));
}

#[test]
fn a_clock_set_back_by_an_hour_ends_a_block() {
    let (mut backoff, here) = (backoff(), peer("10.0.0.1"));
    (0..100).for_each(|_| backoff.failed(here, "alice", 10_000_000));
    assert!(!backoff.is_blocked(here, "alice", 10_000_000 - 3_600_000));
}

#[test]
fn trying_many_names_neither_grows_the_table_nor_frees_a_blocked_one() {
    let (mut backoff, here) = (backoff(), peer("10.0.0.1"));
    (0..20).for_each(|_| backoff.failed(here, "alice", 0));
    for number in 0..200_000 {
        backoff.failed(here, &number.to_string(), 1);
    }
    assert_eq!(backoff.entries.len(), SETS * WAYS);
    assert!(backoff.is_blocked(here, "alice", 2));
}
