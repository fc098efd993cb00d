//! SCRAM-SHA-256 (RFC 5802, RFC 7677), the server's side, without channel binding.
//!
//! ```text
//! client-first ──► [ScramServer::begin] ──► server-first ──► [ScramServer::finish] ──► server-final, or an error
//! ```
//!
//! A user that does not exist is led through the same exchange with a verifier made up from the node's secret, always
//! the same one for a name, and fails at its end as a wrong password does.

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::{digest, hmac};
use subtle::ConstantTimeEq;

pub(crate) use verifier::Shape;
pub use verifier::{ScramVerifier, VerifierError};

mod verifier;

/// The name of the method in MQTT's Authentication Method.
pub const METHOD: &str = "SCRAM-SHA-256";

/// An exchange that waits for the client's final message.
#[derive(Clone, Debug)]
pub struct ScramServer {
    username: String,
    verifier: ScramVerifier,
    /// Whether the user exists. The verifier of one that does not could only be met by chance; then this decides.
    known: bool,
    /// What the client's `c=` must be.
    binding: String,
    /// Client's and server's nonce together.
    nonce: String,
    /// The part of the signed text that is known so far.
    signed: String,
}

/// Why an exchange failed. The client is told the same in all cases.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ScramError {
    /// Not a message of this exchange.
    #[error("malformed message")]
    Malformed,
    /// The client demands channel binding, which this server does not offer.
    #[error("channel binding is not offered")]
    ChannelBinding,
    /// The client demands an extension that this server does not know.
    #[error("unknown mandatory extension")]
    Extension,
    /// The client wants to act as somebody else.
    #[error("authorisation as another user is not offered")]
    Authorization,
    /// The nonce or the channel binding is not that of this exchange.
    #[error("the message belongs to another exchange")]
    OtherExchange,
    /// The proof is wrong, or there is no such user.
    #[error("bad proof")]
    Proof,
}

impl ScramServer {
    /// Reads the client-first message; returns the exchange and the server-first message.
    ///
    /// `server_nonce` is fresh and random. `lookup` gives the verifier of a name, and whether that user exists.
    pub fn begin(
        client_first: &[u8],
        server_nonce: &[u8; NONCE_BYTES],
        lookup: impl FnOnce(&str) -> (ScramVerifier, bool),
    ) -> Result<(Self, Vec<u8>), ScramError> {
        let text = message(client_first)?;
        let (binding, bare) = split_gs2_header(text)?;
        let first = ClientFirst::parse(bare)?;
        if binding.authorization.is_some_and(|name| name != first.username) {
            return Err(ScramError::Authorization);
        }
        let (verifier, known) = lookup(&first.username);
        let nonce = format!("{}{}", first.nonce, STANDARD.encode(server_nonce));
        let reply = format!("r={nonce},s={},i={}", STANDARD.encode(verifier.salt()), verifier.iterations());
        let (binding, signed) = (STANDARD.encode(binding.text), format!("{bare},{reply}"));
        Ok((Self { username: first.username, verifier, known, binding, nonce, signed }, reply.into_bytes()))
    }

    /// The user name that the client gave.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// Reads the client-final message; returns the server-final message if the client knows the password.
    pub fn finish(self, client_final: &[u8]) -> Result<Vec<u8>, ScramError> {
        let text = message(client_final)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(ScramError::Malformed)?;
        let mut fields = without_proof.split(',');
        let binding = fields.next().and_then(|field| field.strip_prefix("c=")).ok_or(ScramError::Malformed)?;
        let nonce = fields.next().and_then(|field| field.strip_prefix("r=")).ok_or(ScramError::Malformed)?;
        check_extensions(fields)?;
        if binding != self.binding || nonce != self.nonce {
            return Err(ScramError::OtherExchange);
        }
        let proof: [u8; KEY_BYTES] = decode(proof)?.try_into().map_err(|_| ScramError::Malformed)?;
        let signed = format!("{},{without_proof}", self.signed);
        let matches = self.verifier.proves(signed.as_bytes(), &proof);
        if !(matches && self.known) {
            return Err(ScramError::Proof);
        }
        let signature = sign(self.verifier.server_key(), signed.as_bytes());
        Ok(format!("v={}", STANDARD.encode(signature)).into_bytes())
    }
}

/// What stands before the client-first message proper.
struct Gs2Header<'a> {
    text: &'a str,
    authorization: Option<String>,
}

/// `n,,` or `y,,` or `n,a=NAME,`. `y` = the client could bind but thinks that the server cannot, which is right.
fn split_gs2_header(text: &str) -> Result<(Gs2Header<'_>, &str), ScramError> {
    let mut parts = text.splitn(3, ',');
    let (Some(flag), Some(name), Some(bare)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(ScramError::Malformed);
    };
    match flag {
        "n" | "y" => {}
        bound if bound.starts_with("p=") => return Err(ScramError::ChannelBinding),
        _ => return Err(ScramError::Malformed),
    }
    let authorization = match name {
        "" => None,
        name => Some(unescape(name.strip_prefix("a=").ok_or(ScramError::Malformed)?)?),
    };
    Ok((Gs2Header { text: &text[..text.len() - bare.len()], authorization }, bare))
}

struct ClientFirst<'a> {
    username: String,
    nonce: &'a str,
}

impl<'a> ClientFirst<'a> {
    fn parse(bare: &'a str) -> Result<Self, ScramError> {
        let mut fields = bare.split(',');
        let name = fields.next().ok_or(ScramError::Malformed)?;
        if name.starts_with("m=") {
            return Err(ScramError::Extension);
        }
        let username = unescape(name.strip_prefix("n=").ok_or(ScramError::Malformed)?)?;
        let nonce = fields.next().and_then(|field| field.strip_prefix("r=")).ok_or(ScramError::Malformed)?;
        let printable = nonce.bytes().all(|byte| byte.is_ascii_graphic());
        if nonce.is_empty() || nonce.len() > CLIENT_NONCE_BYTES_MAX || !printable {
            return Err(ScramError::Malformed);
        }
        check_extensions(fields)?;
        Ok(Self { username, nonce })
    }
}

/// Extensions are ignored, but for one that the client says must not be.
fn check_extensions<'a>(fields: impl Iterator<Item = &'a str>) -> Result<(), ScramError> {
    for field in fields {
        let mut characters = field.chars();
        match (characters.next(), characters.next()) {
            (Some('m'), Some('=')) => return Err(ScramError::Extension),
            (Some(name), Some('=')) if name.is_ascii_alphabetic() => {}
            _ => return Err(ScramError::Malformed),
        }
    }
    Ok(())
}

fn message(bytes: &[u8]) -> Result<&str, ScramError> {
    if bytes.len() > MESSAGE_BYTES_MAX || bytes.contains(&0) {
        return Err(ScramError::Malformed);
    }
    std::str::from_utf8(bytes).map_err(|_| ScramError::Malformed)
}

/// A `saslname`: `=2C` is a comma, `=3D` an equals sign. Prepared as the verifier's password was.
fn unescape(name: &str) -> Result<String, ScramError> {
    let mut parts = name.split('=');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (character, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            (None, None) => return Err(ScramError::Malformed),
        };
        text.push(character);
        text.push_str(rest);
    }
    if text.is_empty() {
        return Err(ScramError::Malformed);
    }
    stringprep::saslprep(&text).map(Into::into).map_err(|_| ScramError::Malformed)
}

fn decode(text: &str) -> Result<Vec<u8>, ScramError> {
    STANDARD.decode(text).map_err(|_| ScramError::Malformed)
}

fn sign(key: &[u8], text: &[u8]) -> [u8; KEY_BYTES] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text);
    let mut bytes = [0; KEY_BYTES];
    bytes.copy_from_slice(tag.as_ref());
    bytes
}

fn hash(bytes: &[u8]) -> [u8; KEY_BYTES] {
    let digest = digest::digest(&digest::SHA256, bytes);
    let mut bytes = [0; KEY_BYTES];
    bytes.copy_from_slice(digest.as_ref());
    bytes
}

fn equal(a: &[u8; KEY_BYTES], b: &[u8; KEY_BYTES]) -> bool {
    a.ct_eq(b).into()
}

/// Random bytes of the server's nonce: 144 bits, a whole number of base64 digits.
pub const NONCE_BYTES: usize = 18;
/// Bytes of SHA-256.
const KEY_BYTES: usize = 32;
const CLIENT_NONCE_BYTES_MAX: usize = 256;
const MESSAGE_BYTES_MAX: usize = 2048;

#[cfg(test)]
mod tests;
