//! What a client shows to say who it is.

use std::sync::{Arc, OnceLock};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use ring::{digest, hmac, pbkdf2};
use sluice_dataplane_auth::{
    Chain, Credentials, NONCE_BYTES, NodeSecret, ScramServer, ScramVerifier, Verdict, config::StepConfig, load,
};

use crate::cursor::Cursor;

const PASSWORD: &str = "pencil";
const SALT: [u8; 16] = [9; 16];
const ITERATIONS: u32 = 4096;
const NONCE: [u8; NONCE_BYTES] = [5; NONCE_BYTES];

/// A client-first message and, behind a NUL, a client-final message. No message proves a password that it was not made
/// with; a client that does know the password gets in with whatever first message the server takes, and an unknown user
/// does not.
pub fn fuzz_scram(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let (first, last) = (&data[..end], data.get(end + 1..).unwrap_or_default());
    let begin = |known: bool| ScramServer::begin(first, &NONCE, |_| (verifier().clone(), known));
    let Ok((server, reply)) = begin(true) else { return };
    let honest = client_final(first, &reply);
    if last != honest {
        assert!(server.clone().finish(last).is_err(), "a message without the password proves nothing");
    }
    let answer = server.finish(&honest).expect("who knows the password gets in");
    assert!(answer.starts_with(b"v="));
    let (unknown, same_reply) = begin(false).expect("an unknown user is led through the same exchange");
    assert_eq!(same_reply, reply);
    assert!(unknown.finish(&honest).is_err(), "an unknown user does not get in");
}

fn verifier() -> &'static ScramVerifier {
    static VERIFIER: OnceLock<ScramVerifier> = OnceLock::new();
    VERIFIER.get_or_init(|| ScramVerifier::of_password(PASSWORD, &SALT, ITERATIONS).expect("a good password"))
}

/// RFC 5802 §3, the client's side.
fn client_final(first: &[u8], reply: &[u8]) -> Vec<u8> {
    static SALTED: OnceLock<[u8; 32]> = OnceLock::new();
    let salted = SALTED.get_or_init(|| {
        let mut salted = [0; 32];
        let iterations = ITERATIONS.try_into().expect("not 0");
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &SALT, PASSWORD.as_bytes(), &mut salted);
        salted
    });
    let first = std::str::from_utf8(first).expect("what the server took is text");
    let reply = std::str::from_utf8(reply).expect("what the server says is text");
    let header_len = first.match_indices(',').nth(1).map(|(at, _)| at + 1).expect("a GS2 header has two commas");
    let (header, bare) = first.split_at(header_len);
    let nonce = reply.split(',').next().expect("the nonce comes first");
    let without_proof = format!("c={},{nonce}", STANDARD.encode(header));
    let client_key = sign(salted, b"Client Key");
    let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
    let signature = sign(stored_key.as_ref(), format!("{bare},{reply},{without_proof}").as_bytes());
    let proof: Vec<u8> = client_key.as_ref().iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
    format!("{without_proof},p={}", STANDARD.encode(proof)).into_bytes()
}

fn sign(key: &[u8], text: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text)
}

const SECRET: &[u8] = b"a secret of at least thirty-two bytes";
const NOW_MS: u64 = 1_700_000_000_000;

/// First byte: 0, the rest is a whole token, and none that was made without the key is accepted; 1, the rest is claims,
/// signed well; 2, a header with its length in front, then claims, signed well whatever the header says. What is
/// accepted has not expired, names its user, and says the one algorithm that is configured.
pub fn fuzz_jwt(data: &[u8]) {
    let mut cursor = Cursor::new(data);
    match cursor.below(3) {
        0 => {
            let Ok(token) = std::str::from_utf8(cursor.rest()) else { return };
            let forged = check(token);
            assert!(!matches!(forged, Verdict::Accept(_)), "a token made without the key was accepted");
        }
        1 => check_signed(br#"{"alg":"HS256"}"#, cursor.rest()),
        _ => {
            let header = cursor.run(255);
            check_signed(header, cursor.rest());
        }
    }
}

fn check_signed(header: &[u8], claims: &[u8]) {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(SECRET, signed.as_bytes()));
    let Verdict::Accept(identity) = check(&format!("{signed}.{signature}")) else { return };
    let header: serde_json::Value = serde_json::from_slice(header).expect("an accepted header is JSON");
    let claims: serde_json::Value = serde_json::from_slice(claims).expect("accepted claims are JSON");
    assert_eq!(header["alg"], "HS256", "only the configured algorithm is accepted");
    assert!(header.get("crit").is_none_or(serde_json::Value::is_null), "no extension is understood");
    assert_eq!(claims["sub"].as_str(), identity.username.as_deref());
    assert!(identity.expires_at_ms.expect("an expiry is required") > NOW_MS);
    assert!(!identity.superuser, "no claim makes a superuser");
}

fn check(token: &str) -> Verdict {
    let credentials = Credentials {
        client_id: "c",
        username: None,
        password: Some(token.as_bytes()),
        certificate: None,
        peer: None,
        allow_anonymous: false,
        identity_as_username: false,
        bound_to: None,
    };
    chain().check(&credentials, NOW_MS)
}

/// A chain of one step: tokens signed with [`SECRET`].
fn chain() -> &'static Chain {
    static CHAIN: OnceLock<Arc<Chain>> = OnceLock::new();
    CHAIN.get_or_init(|| {
        // Made for its owner alone, as a file with a secret has to be.
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), SECRET).expect("a written secret");
        let step = serde_json::json!({"jwt": {"algorithms": ["HS256"], "secret_file": file.path()}});
        let step: StepConfig = serde_json::from_value(step).expect("a good step");
        load(&[step], &NodeSecret::new(&[3; 32])).expect("a good chain").chain
    })
}
