use super::*;
use crate::{
    NodeSecret,
    config::{CertificateConfig, JwtAlgorithm, JwtConfig},
    hash_password,
    jwt::KeySet,
    scram::ScramVerifier,
};

const SECRET: &[u8] = b"thirty-two bytes are the minimum";

fn password_step(text: &str) -> Step {
    let file = PasswordFile::parse(text, NodeSecret::new(&[4; 32])).unwrap();
    Step::Password(PasswordStep { file: Arc::new(file), groups: vec![Arc::from("people")] })
}

fn alice() -> String {
    format!("alice:{}\n", hash_password(b"secret", &[1; 16]).unwrap())
}

fn jwt_step() -> Step {
    let config: JwtConfig = serde_json::from_str(r#"{"algorithms": ["HS256"]}"#).unwrap();
    Step::Jwt(Box::new(JwtStep::new(config, KeySet::from_secret(SECRET, &[JwtAlgorithm::HS256]).unwrap())))
}

fn shown<'a>(username: &'a str, password: &'a [u8]) -> Credentials<'a> {
    Credentials { client_id: "c1", username: Some(username), password: Some(password), ..Credentials::default() }
}

fn refusal(verdict: Verdict) -> Refusal {
    let Verdict::Reject(refusal) = verdict else { panic!("{verdict:?}") };
    refusal
}

fn username(verdict: Verdict) -> Option<Arc<str>> {
    let Verdict::Accept(identity) = verdict else { panic!("{verdict:?}") };
    identity.username
}

#[test]
fn a13_nothing_but_acceptance_lets_a_client_in() {
    let chain = Chain::new(vec![jwt_step(), password_step(&alice())]);
    assert_eq!(username(chain.check(&shown("alice", b"secret"), 0)).as_deref(), Some("alice"));
    for anonymous in [false, true] {
        for (name, password) in [("alice", &b"wrong"[..]), ("bob", b"secret"), ("alice", b""), ("", b"")] {
            let credentials = Credentials { allow_anonymous: anonymous, ..shown(name, password) };
            assert_eq!(refusal(chain.check(&credentials, 0)), Refusal::Bad, "{name}");
        }
        let no_password = Credentials { username: Some("alice"), allow_anonymous: anonymous, ..Credentials::default() };
        assert_eq!(refusal(chain.check(&no_password, 0)), Refusal::Bad);
    }
}

#[test]
fn a_rejection_is_final_even_where_a_later_step_would_accept() {
    let other = format!("alice:{}\n", hash_password(b"other", &[2; 16]).unwrap());
    let chain = Chain::new(vec![password_step(&alice()), password_step(&other)]);
    assert_eq!(refusal(chain.check(&shown("alice", b"other"), 0)), Refusal::Bad);
    let forged = b"eyJhbGciOiJIUzI1NiJ9.e30.AAAA";
    let alice_with_token = format!("alice:{}\n", hash_password(forged, &[2; 16]).unwrap());
    let chain = Chain::new(vec![jwt_step(), password_step(&alice_with_token)]);
    assert_eq!(refusal(chain.check(&shown("alice", forged), 0)), Refusal::Bad);
}

#[test]
fn credentials_of_another_kind_go_on_to_the_next_step() {
    let bob = format!("bob:{}\n", hash_password(b"pass", &[2; 16]).unwrap());
    let certificate = Step::Certificate(CertificateStep::new(&CertificateConfig::default()));
    let chain = Chain::new(vec![certificate, jwt_step(), password_step(&alice()), password_step(&bob)]);
    assert_eq!(username(chain.check(&shown("bob", b"pass"), 0)).as_deref(), Some("bob"));
}

#[test]
fn clients_that_show_nothing_are_anonymous_only_where_the_listener_takes_them() {
    let nothing = Credentials { client_id: "c1", ..Credentials::default() };
    let open = Credentials { allow_anonymous: true, ..nothing };
    for chain in [Chain::default(), Chain::new(vec![password_step(&alice())])] {
        assert_eq!(refusal(chain.check(&nothing, 0)), Refusal::Missing);
        assert_eq!(username(chain.check(&open, 0)), None);
    }
    let claimed = Credentials { allow_anonymous: true, ..shown("root", b"x") };
    assert_eq!(username(Chain::default().check(&claimed, 0)), None, "a name that nothing can check is no identity");
    assert_eq!(refusal(Chain::default().check(&shown("root", b"x"), 0)), Refusal::Bad);
}

#[test]
fn c18_credentials_tied_to_client_ids_may_not_use_others() {
    let chain = Chain::new(vec![password_step(&format!("{} clients=a-\n", alice().trim_end()))]);
    assert_eq!(refusal(chain.check(&shown("alice", b"secret"), 0)), Refusal::ClientId);
    let own = Credentials { client_id: "a-1", ..shown("alice", b"secret") };
    assert_eq!(username(chain.check(&own, 0)).as_deref(), Some("alice"));
    let wrong = Credentials { client_id: "a-1", ..shown("alice", b"x") };
    assert_eq!(refusal(chain.check(&wrong, 0)), Refusal::Bad);
}

#[test]
fn c17_an_unknown_user_is_refused_as_a_wrong_password_is() {
    let chain = Chain::new(vec![password_step(&alice())]);
    let wrong = refusal(chain.check(&shown("alice", b"wrong"), 0));
    let unknown = refusal(chain.check(&shown("nobody", b"wrong"), 0));
    assert_eq!(wrong, unknown);
    let fastest = |name: &str| {
        let time = |_| {
            let start = std::time::Instant::now();
            chain.check(&shown(name, b"wrong"), 0);
            start.elapsed()
        };
        (0..5).map(time).min().unwrap()
    };
    let (known, unknown) = (fastest("alice"), fastest("nobody"));
    assert!(unknown * 8 > known && known * 8 > unknown, "{known:?} for a known user, {unknown:?} for an unknown one");
}

#[test]
fn authenticating_again_cannot_change_the_identity() {
    let bob = format!("bob:{}\n", hash_password(b"pass", &[2; 16]).unwrap());
    let chain = Chain::new(vec![password_step(&(alice() + &bob))]);
    let again = |name, password| Credentials { bound_to: Some("alice"), ..shown(name, password) };
    assert_eq!(username(chain.check(&again("alice", b"secret"), 0)).as_deref(), Some("alice"));
    assert_eq!(refusal(chain.check(&again("bob", b"pass"), 0)), Refusal::OtherIdentity);
}

#[test]
fn c15_an_unknown_method_is_refused() {
    let chain = Chain::new(vec![password_step(&alice())]);
    let begin = |chain: &Chain, method: &str| match chain.begin(method, b"n,,n=a,r=b", &shown("a", b""), &[0; 18]) {
        Progress::Done(verdict) => Some(refusal(verdict)),
        Progress::Continue { .. } => None,
    };
    assert_eq!(begin(&chain, "SCRAM-SHA-1"), Some(Refusal::Method));
    assert_eq!(begin(&chain, "SCRAM-SHA-256-PLUS"), Some(Refusal::Method));
    assert_eq!(begin(&Chain::new(vec![jwt_step()]), "SCRAM-SHA-256"), Some(Refusal::Method));
    assert_eq!(begin(&chain, "SCRAM-SHA-256"), None, "an unknown user is led on");
    assert_eq!(Refusal::Method.reason_code(), 0x8C);
}

#[test]
fn scram_finds_the_user_in_whichever_file_it_is() {
    let verifier = ScramVerifier::of_password("pencil", &[5; 16], 4096).unwrap();
    let chain = Chain::new(vec![password_step(&alice()), password_step(&format!("bob:{verifier}\n"))]);
    let Progress::Continue { data, exchange } =
        chain.begin("SCRAM-SHA-256", b"n,,n=bob,r=x", &shown("", b""), &[0; 18])
    else {
        panic!()
    };
    assert!(String::from_utf8(data).unwrap().contains("s=BQUFBQUFBQUFBQUFBQUFBQ==,i=4096"));
    assert_eq!(exchange.username(), "bob");
    assert_eq!(refusal(exchange.finish(b"c=biws,r=x,p=AAAA")), Refusal::Bad);
}

#[test]
fn where_the_certificate_is_the_user_name_nothing_else_is_looked_at() {
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "meter7");
    let certificate = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec();
    for chain in [Chain::default(), Chain::new(vec![jwt_step(), password_step(&alice())])] {
        let certified = |shown: Credentials<'static>| Credentials { identity_as_username: true, ..shown };
        for shown in [shown("alice", b"secret"), shown("alice", b"wrong"), Credentials::default()] {
            let shown = Credentials { certificate: Some(&certificate), ..certified(shown) };
            assert_eq!(username(chain.check(&shown, 0)).as_deref(), Some("meter7"));
        }
        let bare = Credentials { allow_anonymous: true, ..certified(shown("alice", b"secret")) };
        assert_eq!(refusal(chain.check(&bare, 0)), Refusal::Missing, "no certificate");
    }
    let step = password_step(&format!("meter7:{}\n", ScramVerifier::of_password("secret", &[1; 16], 4096).unwrap()));
    let bare = Credentials { identity_as_username: true, ..Credentials::default() };
    let begun = Chain::new(vec![step]).begin(scram::METHOD, b"n,,n=meter7,r=abc", &bare, &[0; NONCE_BYTES]);
    assert!(matches!(begun, Progress::Done(Verdict::Reject(Refusal::Missing))), "{begun:?}");
}
