use proptest::prelude::*;

use super::*;

/// A cheap hash of "secret".
fn cheap() -> String {
    use argon2::{
        Algorithm, Argon2, Params, Version,
        password_hash::{PasswordHasher, SaltString},
    };
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(1024, 1, 1, None).unwrap());
    argon2.hash_password(b"secret", &SaltString::encode_b64(&[3; 16]).unwrap()).unwrap().to_string()
}

fn scram() -> String {
    ScramVerifier::of_password("pencil", &[5; 16], 4096).unwrap().to_string()
}

fn parse(text: &str) -> Result<PasswordFile, PasswordFileError> {
    PasswordFile::parse(text, NodeSecret::new(&[9; 32]))
}

#[test]
fn a_hashed_password_is_recognised_and_another_is_not() {
    let hash = hash_password(b"secret", &[1; 16]).unwrap();
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    let file = parse(&format!("alice:{hash}\n")).unwrap();
    assert!(matches!(file.check("alice", b"secret"), Check::Match(_)));
    assert_eq!(file.check("alice", b"Secret"), Check::Mismatch);
    assert_eq!(file.check("alice", b""), Check::Mismatch);
    assert_eq!(file.check("bob", b"secret"), Check::Unknown);
    assert_eq!(hash_password(b"", &[1; 16]), Err(HashError::EmptyPassword));
}

#[test]
fn a_line_gives_groups_client_ids_and_superuser() {
    let text = format!("# users\n\nalice smith:{} groups=ops,dev clients=a- superuser\r\nbob:{}\n", cheap(), scram());
    let file = parse(&text).unwrap();
    assert_eq!(file.len(), 2);
    let Check::Match(alice) = file.check("alice smith", b"secret") else { panic!() };
    assert_eq!(alice.groups, [Arc::from("ops"), Arc::from("dev")]);
    assert_eq!(alice.client_id_prefix.as_deref(), Some("a-"));
    assert!(alice.superuser && alice.method == Method::Password);
    let Check::Match(bob) = file.check("bob", b"pencil") else { panic!("a SCRAM verifier serves plain passwords too") };
    assert!(!bob.superuser && bob.groups.is_empty());
}

#[test]
fn f2_a_malformed_line_refuses_the_whole_file_and_is_named() {
    let (good, scram) = (cheap(), scram());
    for (line, what) in [
        ("bob".to_owned(), "no ':'"),
        ("bob:".to_owned(), "no credential"),
        ("bob:secret".to_owned(), "a field is none of"),
        (format!(":{good}"), "empty"),
        (format!(" bob:{good}"), "space"),
        (format!("b\tob:{good}"), "control"),
        (format!("{}:{good}", "b".repeat(300)), "more than"),
        (format!("alice:{good}"), "line 1"),
        (format!("bob:{good} {good}"), "second time"),
        (format!("bob:{scram} {scram}"), "second time"),
        (format!("bob:{good} groups=a groups=b"), "second time"),
        (format!("bob:{good} groups=a,,b"), "empty"),
        (format!("bob:{good} clients="), "empty"),
        (format!("bob:{good} admin"), "a field is none of"),
        (format!("bob:{}", &good[..good.len() - 30]), "argon2id hash in PHC form"),
        (format!("bob:{}", good.replace("argon2id", "argon2i")), "only argon2id"),
        (format!("bob:{}", good.replace("m=1024", "m=4000000")), "cost is out of bounds"),
        (format!("bob:{}", good.replace("m=1024", "m=8")), "cost is out of bounds"),
        (format!("bob:{}", good.replace("t=1", "t=1000000")), "cost is out of bounds"),
        (format!("bob:{}", scram.replace("4096", "1")), "number of iterations"),
    ] {
        let error = parse(&format!("alice:{good}\n{line}\n")).unwrap_err();
        assert_eq!(error.line, 2, "{line}");
        assert!(error.what.contains(what), "{line}: {error}");
        assert!(!error.what.contains(&good[40..]), "{error} holds a hash");
    }
}

#[test]
fn c17_an_unknown_user_costs_as_much_as_some_real_one() {
    let file = parse(&format!("alice:{}\nbob:{}\n", cheap(), scram())).unwrap();
    assert_eq!(file.costs.len(), 2);
    let chosen = |name: &str| *file.secret.choose(name, &file.costs).unwrap();
    let names: Vec<String> = (0..100).map(|number| format!("nobody{number}")).collect();
    let argon2 = names.iter().filter(|name| chosen(name) == file.costs[0]).count();
    assert!((20..80).contains(&argon2), "{argon2} of 100");
    assert_eq!(chosen("nobody7"), chosen("nobody7"));
    file.spend("nobody1", b"x");
    parse("").unwrap().spend("nobody1", b"x");
}

#[test]
fn c17_scram_replies_to_unknown_users_have_the_shape_of_real_ones() {
    let verifier = ScramVerifier::of_password("pencil", &[5; 24], 5000).unwrap();
    let file = parse(&format!("bob:{verifier}\nalice:{}\n", cheap())).unwrap();
    assert_eq!(file.verifier("bob"), (verifier.clone(), true));
    for name in ["alice", "nobody"] {
        let (decoy, known) = file.verifier(name);
        assert!(!known && decoy.shape() == verifier.shape(), "{name}");
    }
}

#[test]
fn nothing_secret_is_in_debug_output() {
    let file = parse(&format!("alice:{} {}\n", cheap(), scram())).unwrap();
    let debug = format!("{file:?}");
    assert!(!debug.contains(&cheap()[30..]) && !debug.contains(&scram()[20..]), "{debug}");
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "((a|:|\\$argon2id\\$|v=19\\$|m=1024,t=1,p=1\\$|SCRAM-SHA-256\\$|4096:|,|=|groups=| |\\n|\\PC){0,20})") {
        let _ = parse(&text);
    }
}
