//! Password hashes: argon2id (RFC 9106).

use std::{hint::black_box, num::NonZeroU32};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, Salt, SaltString},
};
use ring::pbkdf2;

/// A password cannot be hashed, or a text is no hash that this node takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HashError {
    /// Not a PHC string with salt and hash.
    #[error("not an argon2id hash in PHC form, such as $argon2id$v=19$m=19456,t=2,p=1$SALT$HASH")]
    Form,
    /// argon2i or argon2d.
    #[error("only argon2id is taken: the other variants resist either guessing or eavesdropping, not both")]
    Algorithm,
    /// Checking would cost too much memory or time, or far too little.
    #[error(
        "the cost is out of bounds: m between 1024 and {MEMORY_KIB_MAX} KiB, t up to {PASSES_MAX}, p up to {LANES_MAX}"
    )]
    Cost,
    /// An empty password.
    #[error("the password is empty")]
    EmptyPassword,
}

/// Hashes a password with a fresh random `salt`: 19 MiB, two passes, one lane, as OWASP advises.
pub fn hash_password(password: &[u8], salt: &[u8; SALT_BYTES]) -> Result<String, HashError> {
    if password.is_empty() {
        return Err(HashError::EmptyPassword);
    }
    let salt = SaltString::encode_b64(salt).map_err(|_| HashError::Form)?;
    let hash = Argon2::default().hash_password(password, &salt).map_err(|_| HashError::Form)?;
    Ok(hash.to_string())
}

/// A hash whose form and cost were checked.
#[derive(Clone)]
pub(super) struct Argon2Hash {
    text: Box<str>,
    cost: Cost,
}

impl Argon2Hash {
    pub(super) fn parse(text: &str) -> Result<Self, HashError> {
        let hash = PasswordHash::new(text).map_err(|_| HashError::Form)?;
        if hash.algorithm != Algorithm::Argon2id.ident() {
            return Err(HashError::Algorithm);
        }
        if hash.salt.is_none() || hash.hash.is_none_or(|output| output.len() < OUTPUT_BYTES_MIN) {
            return Err(HashError::Form);
        }
        let params = Params::try_from(&hash).map_err(|_| HashError::Form)?;
        let in_bounds = (MEMORY_KIB_MIN..=MEMORY_KIB_MAX).contains(&params.m_cost())
            && params.t_cost() <= PASSES_MAX
            && params.p_cost() <= LANES_MAX;
        if !in_bounds {
            return Err(HashError::Cost);
        }
        let cost = Cost::Argon2 { memory_kib: params.m_cost(), passes: params.t_cost(), lanes: params.p_cost() };
        Ok(Self { text: text.into(), cost })
    }

    /// Compares in constant time.
    pub(super) fn verify(&self, password: &[u8]) -> bool {
        PasswordHash::new(&self.text).is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok())
    }

    pub(super) fn cost(&self) -> Cost {
        self.cost
    }
}

impl std::fmt::Debug for Argon2Hash {
    /// Leaves out what is secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.cost.fmt(f)
    }
}

/// What checking a password takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cost {
    Argon2 { memory_kib: u32, passes: u32, lanes: u32 },
    Pbkdf2 { iterations: NonZeroU32 },
}

impl Cost {
    /// That of [`hash_password`].
    pub(super) const DEFAULT: Self = Self::Argon2 {
        memory_kib: Params::DEFAULT_M_COST,
        passes: Params::DEFAULT_T_COST,
        lanes: Params::DEFAULT_P_COST,
    };

    /// Takes as much, for nothing.
    pub(super) fn spend(self, password: &[u8]) {
        let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
        match self {
            Self::Argon2 { memory_kib, passes, lanes } => {
                if let Ok(params) = Params::new(memory_kib, passes, lanes, None) {
                    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
                    let _ = black_box(argon2.hash_password_into(password, &DECOY_SALT, &mut output));
                }
            }
            Self::Pbkdf2 { iterations } => {
                pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &DECOY_SALT, password, &mut output);
            }
        }
        black_box(output);
    }
}

/// As RFC 9106 recommends.
pub(crate) const SALT_BYTES: usize = Salt::RECOMMENDED_LENGTH;
const DECOY_SALT: [u8; SALT_BYTES] = [0; SALT_BYTES];
const MEMORY_KIB_MIN: u32 = 1024;
/// A quarter of a gigabyte for each password that is checked at the same time.
const MEMORY_KIB_MAX: u32 = 256 * 1024;
const PASSES_MAX: u32 = 32;
const LANES_MAX: u32 = 16;
const OUTPUT_BYTES_MIN: usize = 16;
