//! What a server stores of a password for SCRAM: enough to check a proof, not enough to make one.

use std::{fmt, num::NonZeroU32};

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::pbkdf2;

use super::{KEY_BYTES, METHOD, equal, hash, sign};
use crate::decoy::NodeSecret;

/// A salted, stretched password in the two keys of RFC 5802. Its text form is
/// `SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY`, the last three in base64.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramVerifier {
    iterations: NonZeroU32,
    salt: Box<[u8]>,
    stored_key: [u8; KEY_BYTES],
    server_key: [u8; KEY_BYTES],
}

/// What a client can see of a verifier.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shape {
    pub(crate) iterations: NonZeroU32,
    pub(crate) salt_bytes: usize,
}

/// Why a text is no verifier.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum VerifierError {
    /// Not of the form `SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY`.
    #[error("not of the form {METHOD}$ITERATIONS:SALT$STOREDKEY:SERVERKEY")]
    Form,
    /// Fewer iterations than RFC 7677 demands, or so many that a client could never answer.
    #[error("the number of iterations is not within {ITERATIONS_MIN} and {ITERATIONS_MAX}")]
    Iterations,
    /// The salt is too short or too long.
    #[error("the salt has not between {SALT_BYTES_MIN} and {SALT_BYTES_MAX} bytes")]
    Salt,
    /// The password holds characters that RFC 4013 prohibits, or none.
    #[error("the password is empty or holds characters that cannot be typed everywhere")]
    Password,
}

impl ScramVerifier {
    /// Makes the verifier of a password with a fresh random `salt`.
    pub fn of_password(password: &str, salt: &[u8], iterations: u32) -> Result<Self, VerifierError> {
        let iterations = check_iterations(iterations)?;
        check_salt(salt)?;
        let prepared = stringprep::saslprep(password).map_err(|_| VerifierError::Password)?;
        if prepared.is_empty() {
            return Err(VerifierError::Password);
        }
        Ok(Self::derive(prepared.as_bytes(), salt, iterations))
    }

    /// Reads the text form.
    pub fn parse(text: &str) -> Result<Self, VerifierError> {
        let fields = text.strip_prefix(METHOD).and_then(|rest| rest.strip_prefix('$')).ok_or(VerifierError::Form)?;
        let (work, keys) = fields.split_once('$').ok_or(VerifierError::Form)?;
        let (iterations, salt) = work.split_once(':').ok_or(VerifierError::Form)?;
        let (stored_key, server_key) = keys.split_once(':').ok_or(VerifierError::Form)?;
        let iterations = check_iterations(iterations.parse().map_err(|_| VerifierError::Form)?)?;
        let salt = STANDARD.decode(salt).map_err(|_| VerifierError::Form)?;
        check_salt(&salt)?;
        Ok(Self { iterations, salt: salt.into(), stored_key: key(stored_key)?, server_key: key(server_key)? })
    }

    /// What stands in for the verifier of an unknown user: looks like a real one of that `shape`, and is always the same.
    pub(crate) fn decoy(secret: &NodeSecret, name: &str, shape: Shape) -> Self {
        let salt = secret.derive("scram salt", name);
        let stored_key = secret.derive("scram key", name);
        let salt = salt.iter().copied().cycle().take(shape.salt_bytes).collect();
        Self { iterations: shape.iterations, salt, stored_key, server_key: stored_key }
    }

    /// Whether this is the password, sent in the clear.
    pub(crate) fn verify(&self, password: &[u8]) -> bool {
        let text = std::str::from_utf8(password).ok();
        let prepared = text.and_then(|text| stringprep::saslprep(text).ok());
        let bytes = prepared.as_deref().map_or(password, str::as_bytes);
        equal(&Self::derive(bytes, &self.salt, self.iterations).stored_key, &self.stored_key)
    }

    /// Whether `proof` was made for `signed` by somebody who knows the password.
    pub(super) fn proves(&self, signed: &[u8], proof: &[u8; KEY_BYTES]) -> bool {
        let mut client_key = sign(&self.stored_key, signed);
        client_key.iter_mut().zip(proof).for_each(|(byte, proof)| *byte ^= proof);
        equal(&hash(&client_key), &self.stored_key)
    }

    pub(crate) fn shape(&self) -> Shape {
        Shape { iterations: self.iterations, salt_bytes: self.salt.len() }
    }

    pub(super) fn salt(&self) -> &[u8] {
        &self.salt
    }

    pub(super) fn iterations(&self) -> u32 {
        self.iterations.get()
    }

    pub(super) fn server_key(&self) -> &[u8; KEY_BYTES] {
        &self.server_key
    }

    fn derive(prepared: &[u8], salt: &[u8], iterations: NonZeroU32) -> Self {
        let mut salted = [0; KEY_BYTES];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, prepared, &mut salted);
        let stored_key = hash(&sign(&salted, b"Client Key"));
        Self { iterations, salt: salt.into(), stored_key, server_key: sign(&salted, b"Server Key") }
    }
}

impl Shape {
    /// Where no user has a verifier.
    pub(crate) const DEFAULT: Self = Self { iterations: ITERATIONS_DEFAULT, salt_bytes: 16 };
}

impl fmt::Display for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [salt, stored, server] =
            [&self.salt[..], &self.stored_key, &self.server_key].map(|key| STANDARD.encode(key));
        write!(f, "{METHOD}${}:{salt}${stored}:{server}", self.iterations)
    }
}

impl fmt::Debug for ScramVerifier {
    /// Leaves out what is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramVerifier").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

fn check_iterations(iterations: u32) -> Result<NonZeroU32, VerifierError> {
    let in_bounds = (ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations);
    NonZeroU32::new(iterations).filter(|_| in_bounds).ok_or(VerifierError::Iterations)
}

fn check_salt(salt: &[u8]) -> Result<(), VerifierError> {
    if (SALT_BYTES_MIN..=SALT_BYTES_MAX).contains(&salt.len()) { Ok(()) } else { Err(VerifierError::Salt) }
}

fn key(text: &str) -> Result<[u8; KEY_BYTES], VerifierError> {
    let bytes = STANDARD.decode(text).map_err(|_| VerifierError::Form)?;
    bytes.try_into().map_err(|_| VerifierError::Form)
}

/// The least that RFC 7677 allows.
const ITERATIONS_MIN: u32 = 4096;
/// Ten seconds of a small device.
const ITERATIONS_MAX: u32 = 10_000_000;
/// Four times the least: some 10 ms on a small ARM client, which bears this cost.
pub(crate) const ITERATIONS_DEFAULT: NonZeroU32 = NonZeroU32::new(4 * ITERATIONS_MIN).unwrap();
const SALT_BYTES_MIN: usize = 8;
const SALT_BYTES_MAX: usize = 64;
