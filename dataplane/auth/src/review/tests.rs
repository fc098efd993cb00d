use super::*;
use crate::{
    Credentials, NodeSecret, PasswordFile, Verdict,
    chain::PasswordStep,
    config::{JwtAlgorithm, JwtConfig},
    hash_password,
    jwt::{JwtStep, KeySet},
};

fn chain(users: &str) -> Chain {
    let file = PasswordFile::parse(users, NodeSecret::new(&[4; 32])).unwrap();
    Chain::new(vec![Step::Password(PasswordStep { file: Arc::new(file), groups: vec!["people".into()] })])
}

fn line(password: &str, rest: &str) -> String {
    format!("alice:{} {rest}\n", hash_password(password.as_bytes(), &[1; 16]).unwrap())
}

fn grounds_of(chain: &Chain) -> Option<NonZeroU64> {
    let credentials =
        Credentials { client_id: "c1", username: Some("alice"), password: Some(b"secret"), ..Credentials::default() };
    let Verdict::Accept(identity) = chain.check(&credentials, 0) else { panic!("not accepted") };
    identity.grounds
}

#[test]
fn a_user_whose_line_is_gone_or_has_another_password_is_gone() {
    let grounds = grounds_of(&chain(&line("secret", "")));
    let review = |users: &str| chain(users).review(Some("alice"), "c1", grounds);
    assert_eq!(review(""), Review::Gone);
    assert_eq!(review(&line("other", "")), Review::Gone);
    assert_eq!(review(&line("secret", "").replace("alice", "bob")), Review::Gone);
    assert_eq!(review(&line("secret", "clients=c2")), Review::Gone);
    assert_ne!(review(&line("secret", "clients=c1")), Review::Gone);
}

#[test]
fn a_user_that_stays_has_the_rights_of_its_line() {
    let grounds = grounds_of(&chain(&line("secret", "")));
    let users = format!("# a comment\nbob:{}\n{}", &line("x", "")[6..], line("secret", "superuser groups=a"));
    let renewed = Review::Renewed { groups: vec!["a".into(), "people".into()], superuser: true };
    assert_eq!(chain(&users).review(Some("alice"), "c1", grounds), renewed);
}

#[test]
fn a_token_stands_as_long_as_its_key() {
    let step = |secret: &[u8]| {
        let config: JwtConfig = serde_json::from_str(r#"{"algorithms": ["HS256"]}"#).unwrap();
        JwtStep::new(config, KeySet::from_secret(secret, &[JwtAlgorithm::HS256]).unwrap())
    };
    let chain = |secret: &[u8]| Chain::new(vec![Step::Jwt(Box::new(step(secret)))]);
    let signed = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSIsImV4cCI6OTk5OTk5OTk5OX0";
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &[7; 32]);
    let signature = ring::hmac::sign(&key, signed.as_bytes());
    let signature = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, signature);
    let token = format!("{signed}.{signature}");
    let credentials = Credentials { client_id: "c1", password: Some(token.as_bytes()), ..Credentials::default() };
    let Verdict::Accept(identity) = chain(&[7; 32]).check(&credentials, 0) else { panic!("not accepted") };
    assert!(identity.grounds.is_some());
    assert_eq!(chain(&[7; 32]).review(Some("alice"), "c1", identity.grounds), Review::Stands);
    assert_eq!(chain(&[8; 32]).review(Some("alice"), "c1", identity.grounds), Review::Gone);
}

#[test]
fn who_was_accepted_on_no_file_stands() {
    assert_eq!(chain("").review(None, "c1", None), Review::Stands);
}
