//! The client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), written apart from the server's.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};

/// One exchange.
#[derive(Debug)]
pub struct ScramClient {
    password: String,
    first_bare: String,
    nonce: String,
    server_signature: Option<Vec<u8>>,
}

impl ScramClient {
    /// An exchange for this user; the nonce should differ from exchange to exchange.
    #[must_use]
    pub fn new(user: &str, password: &str, nonce: &str) -> Self {
        let first_bare = format!("n={user},r={nonce}");
        Self { password: password.into(), first_bare, nonce: nonce.into(), server_signature: None }
    }

    /// The client-first-message.
    #[must_use]
    pub fn first(&self) -> String {
        format!("n,,{}", self.first_bare)
    }

    /// The client-final-message that answers a server-first-message.
    #[must_use]
    pub fn answer(&mut self, server_first: &[u8]) -> String {
        let server_first = std::str::from_utf8(server_first).expect("text");
        let nonce = field(server_first, "r=");
        assert!(nonce.starts_with(&self.nonce) && nonce.len() > self.nonce.len(), "the server adds to the nonce");
        let salt = STANDARD.decode(field(server_first, "s=")).expect("base64");
        let iterations = field(server_first, "i=").parse().expect("a number");
        let mut salted = [0; 32];
        pbkdf2::pbkdf2_hmac::<Sha256>(self.password.as_bytes(), &salt, iterations, &mut salted);
        let without_proof = format!("c=biws,r={nonce}");
        let message = format!("{},{server_first},{without_proof}", self.first_bare);
        let client_key = mac(&salted, b"Client Key");
        let signature = mac(&Sha256::digest(&client_key), message.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        self.server_signature = Some(mac(&mac(&salted, b"Server Key"), message.as_bytes()));
        format!("{without_proof},p={}", STANDARD.encode(proof))
    }

    /// Checks that the server knows the password, too.
    pub fn check(&self, server_final: &[u8]) {
        let server_final = std::str::from_utf8(server_final).expect("text");
        let signature = STANDARD.decode(field(server_final, "v=")).expect("base64");
        assert_eq!(Some(signature), self.server_signature, "the server's signature");
    }
}

/// What a server stores of a password: `SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY`.
#[must_use]
pub fn verifier(password: &str) -> String {
    let (salt, iterations) = (b"conformance salt", 4096);
    let mut salted = [0; 32];
    pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), salt, iterations, &mut salted);
    let stored_key = STANDARD.encode(Sha256::digest(mac(&salted, b"Client Key")));
    let server_key = STANDARD.encode(mac(&salted, b"Server Key"));
    format!("SCRAM-SHA-256${iterations}:{}${stored_key}:{server_key}", STANDARD.encode(salt))
}

fn field<'a>(message: &'a str, name: &str) -> &'a str {
    message.split(',').find_map(|part| part.strip_prefix(name)).unwrap_or_else(|| panic!("no {name} in {message}"))
}

fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}
