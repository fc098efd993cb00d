use std::net::IpAddr;

use super::*;
use crate::{
    NodeSecret, PasswordFile,
    chain::{PasswordStep, Step},
    hash_password,
    scram::ScramVerifier,
};

fn chain(text: &str) -> Arc<Chain> {
    let file = PasswordFile::parse(text, NodeSecret::new(&[4; 32])).unwrap();
    Arc::new(Chain::new(vec![Step::Password(PasswordStep { file: Arc::new(file), groups: Vec::new() })]))
}

fn authenticator() -> Authenticator {
    let hash = hash_password(b"secret", &[1; 16]).unwrap();
    let verifier = ScramVerifier::of_password("pencil", &[5; 16], 4096).unwrap();
    Authenticator::new(chain(&format!("alice:{hash}\nbob:{verifier}\n")), BackoffPolicy::default()).unwrap()
}

fn shown<'a>(username: &'a str, password: &'a [u8]) -> Credentials<'a> {
    let peer = Some(IpAddr::from([10, 0, 0, 1]));
    Credentials { client_id: "c1", username: Some(username), password: Some(password), peer, ..Credentials::default() }
}

#[test]
fn c17_guessing_is_slowed_and_looks_the_same_from_outside() {
    let authenticator = authenticator();
    for _ in 0..5 {
        assert_eq!(authenticator.check(&shown("alice", b"x"), 0), Verdict::Reject(Refusal::Bad));
    }
    let blocked = Verdict::Reject(Refusal::Backoff);
    assert_eq!(authenticator.check(&shown("alice", b"secret"), 999), blocked, "the right password too");
    assert_eq!(Refusal::Backoff.reason_code(), Refusal::Bad.reason_code());
    assert!(matches!(authenticator.check(&shown("alice", b"secret"), 1_000), Verdict::Accept(_)));
    assert_eq!(authenticator.check(&shown("alice", b"x"), 1_001), Verdict::Reject(Refusal::Bad));
}

#[test]
fn f6_a_replaced_chain_holds_for_the_next_check() {
    let authenticator = authenticator();
    assert!(matches!(authenticator.check(&shown("alice", b"secret"), 0), Verdict::Accept(_)));
    authenticator.replace(chain(&format!("alice:{}\n", hash_password(b"new", &[2; 16]).unwrap())));
    assert_eq!(authenticator.check(&shown("alice", b"secret"), 0), Verdict::Reject(Refusal::Bad));
    assert!(matches!(authenticator.check(&shown("alice", b"new"), 0), Verdict::Accept(_)));
}

#[test]
fn an_exchange_belongs_to_one_connection_and_ends_with_it() {
    let authenticator = authenticator();
    let begin = |connection| authenticator.begin(connection, "SCRAM-SHA-256", b"n,,n=bob,r=x", &shown("", b""), 0);
    assert!(matches!(begin(1), Verdict::Continue(_)) && matches!(begin(2), Verdict::Continue(_)));
    let answer = b"c=biws,r=x,p=AAAA";
    authenticator.abandon(1);
    assert_eq!(authenticator.resume(1, "SCRAM-SHA-256", answer, 0), Verdict::Reject(Refusal::Bad));
    assert_eq!(authenticator.resume(2, "OTHER", answer, 0), Verdict::Reject(Refusal::Bad));
    assert_eq!(authenticator.resume(2, "SCRAM-SHA-256", answer, 0), Verdict::Reject(Refusal::Bad));
    assert!(authenticator.exchanges().is_empty());
}

#[test]
fn c17_scram_guessing_is_slowed_too() {
    let authenticator = authenticator();
    for connection in 0..5 {
        let begun = authenticator.begin(connection, "SCRAM-SHA-256", b"n,,n=bob,r=x", &shown("", b""), 0);
        let Verdict::Continue(data) = begun else { panic!("{begun:?}") };
        let nonce = String::from_utf8(data).unwrap().split(',').next().unwrap().to_owned();
        let proof = format!("c=biws,{nonce},p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
        let verdict = authenticator.resume(connection, "SCRAM-SHA-256", proof.as_bytes(), 0);
        assert_eq!(verdict, Verdict::Reject(Refusal::Bad));
    }
    let begun = authenticator.begin(9, "SCRAM-SHA-256", b"n,,n=bob,r=x", &shown("", b""), 0);
    assert_eq!(begun, Verdict::Reject(Refusal::Backoff));
}
