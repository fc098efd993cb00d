use proptest::prelude::*;

use super::*;
use crate::NodeSecret;

/// The client's side, as RFC 5802 has it.
struct Client {
    password: &'static str,
    header: &'static str,
    bare: String,
}

impl Client {
    fn new(username: &str, password: &'static str) -> Self {
        Self { password, header: "n,,", bare: format!("n={username},r=clientnonce") }
    }

    fn first(&self) -> Vec<u8> {
        format!("{}{}", self.header, self.bare).into_bytes()
    }

    /// The final message, and the signature that the server must answer with.
    fn last(&self, server_first: &[u8]) -> (String, String) {
        let server_first = std::str::from_utf8(server_first).unwrap();
        let field = |name: &str| server_first.split(',').find_map(|field| field.strip_prefix(name)).unwrap();
        let salt = STANDARD.decode(field("s=")).unwrap();
        let mut salted = [0; 32];
        let iterations = field("i=").parse().unwrap();
        ring::pbkdf2::derive(
            ring::pbkdf2::PBKDF2_HMAC_SHA256,
            iterations,
            &salt,
            self.password.as_bytes(),
            &mut salted,
        );
        let client_key = sign(&salted, b"Client Key");
        let unsigned = format!("c={},r={}", STANDARD.encode(self.header), field("r="));
        let signed = format!("{},{server_first},{unsigned}", self.bare);
        let mut proof = sign(&hash(&client_key), signed.as_bytes());
        proof.iter_mut().zip(client_key).for_each(|(byte, key)| *byte ^= key);
        let answer = format!("v={}", STANDARD.encode(sign(&sign(&salted, b"Server Key"), signed.as_bytes())));
        (format!("{unsigned},p={}", STANDARD.encode(proof)), answer)
    }
}

fn verifier(password: &str) -> ScramVerifier {
    ScramVerifier::of_password(password, b"a salt of its own", 4096).unwrap()
}

fn begin(first: &[u8]) -> Result<(ScramServer, Vec<u8>), ScramError> {
    ScramServer::begin(first, &[7; NONCE_BYTES], |_| (verifier("pencil"), true))
}

#[test]
fn the_example_of_rfc_7677_passes() {
    let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    let verifier = ScramVerifier::of_password("pencil", &salt, 4096).unwrap();
    let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    let server = ScramServer {
        username: "user".into(),
        verifier,
        known: true,
        binding: "biws".into(),
        nonce: nonce.into(),
        signed: format!("n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"),
    };
    let proof = format!("c=biws,r={nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    let answer = server.finish(proof.as_bytes()).unwrap();
    assert_eq!(answer, b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

#[test]
fn a_client_with_the_password_gets_in_and_can_check_the_server() {
    let client = Client::new("us=2Cer=3D", "pencil");
    let (server, reply) = begin(&client.first()).unwrap();
    assert_eq!(server.username(), "us,er=");
    let (last, expected) = client.last(&reply);
    assert_eq!(server.finish(last.as_bytes()).unwrap(), expected.into_bytes());
}

#[test]
fn a_client_that_could_bind_channels_is_served_without() {
    let client = Client { header: "y,,", ..Client::new("user", "pencil") };
    let (server, reply) = begin(&client.first()).unwrap();
    assert!(server.finish(client.last(&reply).0.as_bytes()).is_ok());
}

#[test]
fn c17_a_wrong_password_and_an_unknown_user_end_alike() {
    let wrong = Client::new("user", "pen");
    let (server, reply) = begin(&wrong.first()).unwrap();
    assert_eq!(server.finish(wrong.last(&reply).0.as_bytes()), Err(ScramError::Proof));
    let client = Client::new("nobody", "pencil");
    let unknown = |_: &str| (verifier("pencil"), false);
    let (server, reply) = ScramServer::begin(&client.first(), &[7; NONCE_BYTES], unknown).unwrap();
    assert_eq!(server.finish(client.last(&reply).0.as_bytes()), Err(ScramError::Proof));
}

#[test]
fn c17_an_unknown_user_looks_the_same_each_time() {
    let secret = NodeSecret::new(&[1; 32]);
    let decoy = |secret: &NodeSecret, name| ScramVerifier::decoy(secret, name, Shape::DEFAULT);
    assert_eq!(decoy(&secret, "nobody"), decoy(&secret, "nobody"));
    assert_ne!(decoy(&secret, "nobody").salt(), decoy(&secret, "noone").salt());
    assert_ne!(decoy(&secret, "nobody").salt(), decoy(&NodeSecret::new(&[2; 32]), "nobody").salt());
    assert_eq!(decoy(&secret, "nobody").salt().len(), 16);
}

#[test]
fn channel_binding_and_unknown_demands_are_refused() {
    for (first, error) in [
        ("p=tls-exporter,,n=user,r=abc", ScramError::ChannelBinding),
        ("n,,m=ext,n=user,r=abc", ScramError::Extension),
        ("n,,n=user,r=abc,m=ext", ScramError::Extension),
        ("n,a=other,n=user,r=abc", ScramError::Authorization),
        ("x,,n=user,r=abc", ScramError::Malformed),
        ("n,,n=,r=abc", ScramError::Malformed),
        ("n,,n=us=2er,r=abc", ScramError::Malformed),
        ("n,,n=user,r=", ScramError::Malformed),
        ("n,,n=user,r=a b", ScramError::Malformed),
        ("n,,n=user\u{7},r=abc", ScramError::Malformed),
        ("n,,n=user", ScramError::Malformed),
        ("", ScramError::Malformed),
    ] {
        assert_eq!(begin(first.as_bytes()).unwrap_err(), error, "{first}");
    }
    assert!(begin(b"n,a=user,n=user,r=abc,x=ignored").is_ok());
    assert_eq!(begin(&[b'n'; 5000]).unwrap_err(), ScramError::Malformed);
}

#[test]
fn a_final_message_of_another_exchange_is_refused() {
    let client = Client::new("user", "pencil");
    let (server, reply) = begin(&client.first()).unwrap();
    let (last, _) = client.last(&reply);
    for (from, to) in [("c=biws", "c=eSws"), ("r=clientnonce", "r=othernonce"), ("r=clientnonce", "r=")] {
        let altered = last.replacen(from, to, 1);
        assert_eq!(server.clone().finish(altered.as_bytes()), Err(ScramError::OtherExchange), "{altered}");
    }
    let (without_proof, _) = last.rsplit_once(",p=").unwrap();
    for damaged in [without_proof.to_owned(), format!("{without_proof},p=AAAA"), format!("{without_proof},p=!")] {
        assert_eq!(server.clone().finish(damaged.as_bytes()), Err(ScramError::Malformed), "{damaged}");
    }
}

#[test]
fn a_verifier_survives_its_text_form() {
    let verifier = verifier("pencil");
    assert_eq!(ScramVerifier::parse(&verifier.to_string()), Ok(verifier.clone()));
    assert!(verifier.verify(b"pencil") && !verifier.verify(b"pen"));
    let soft_hyphen = "pen\u{ad}cil";
    assert!(verifier.verify(soft_hyphen.as_bytes()), "RFC 4013 maps the soft hyphen to nothing");
}

#[test]
fn texts_that_are_no_verifiers_are_refused() {
    let good = verifier("pencil").to_string();
    for (bad, error) in [
        (good.replace("4096", "100"), VerifierError::Iterations),
        (good.replace("4096", "99999999"), VerifierError::Iterations),
        (good.replace("4096", "x"), VerifierError::Form),
        (good.replace("SCRAM-SHA-256", "SCRAM-SHA-1"), VerifierError::Form),
        (good[..good.len() - 4].to_owned(), VerifierError::Form),
        ("SCRAM-SHA-256$4096:AAAA$AAAA:AAAA".to_owned(), VerifierError::Salt),
    ] {
        assert_eq!(ScramVerifier::parse(&bad).unwrap_err(), error, "{bad}");
    }
    assert_eq!(ScramVerifier::of_password("", &[0; 16], 4096).unwrap_err(), VerifierError::Password);
    assert_eq!(ScramVerifier::of_password("a\u{7}", &[0; 16], 4096).unwrap_err(), VerifierError::Password);
}

proptest! {
    #[test]
    fn no_message_makes_the_server_panic(
        first in prop_oneof!["[nyp]?,?(a=)?[ab=2C3D]{0,4},n=\\PC{0,6},r=\\PC{0,6}", ".{0,30}"],
        last in prop_oneof!["c=biws,r=[a-z]{0,4},p=[A-Za-z=]{0,9}", ".{0,30}"],
    ) {
        if let Ok((server, _)) = begin(first.as_bytes()) {
            prop_assert!(server.finish(last.as_bytes()).is_err());
        }
    }
}
