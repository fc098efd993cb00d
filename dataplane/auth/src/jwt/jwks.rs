//! JSON Web Key Sets (RFC 7517, RFC 7518 section 6, RFC 8037).

use serde::Deserialize;

use super::{
    decode,
    key::{Entry, Key, KeyError, without_zeros},
};

#[derive(Deserialize)]
struct Set {
    keys: Vec<Jwk>,
}

/// The members that matter; a set may hold others.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    /// RSA.
    n: Option<String>,
    e: Option<String>,
    /// Curves.
    x: Option<String>,
    y: Option<String>,
    /// Shared secrets.
    k: Option<String>,
}

/// The keys of a set that can verify signatures. Keys for other purposes and of unknown kinds are passed over, as RFC
/// 7517 demands; a key of a known kind that is damaged refuses the set.
pub(super) fn parse(json: &[u8]) -> Result<Vec<Entry>, KeyError> {
    let set: Set = serde_json::from_slice(json).map_err(|error| {
        let place = format!("line {} column {}", error.line(), error.column());
        KeyError::Set(format!("unexpected at {place}"))
    })?;
    let signing = set.keys.into_iter().filter(|key| key.purpose.as_deref().is_none_or(|purpose| purpose == "sig"));
    signing.filter_map(|jwk| entry(jwk).transpose()).collect()
}

fn entry(jwk: Jwk) -> Result<Option<Entry>, KeyError> {
    let key = match (&*jwk.kty, jwk.crv.as_deref()) {
        ("oct", _) => Key::Secret(member("k", jwk.k.as_deref())?),
        ("RSA", _) => Key::Rsa {
            n: without_zeros(&member("n", jwk.n.as_deref())?),
            e: without_zeros(&member("e", jwk.e.as_deref())?),
        },
        ("EC", Some("P-256")) => Key::P256(point(&jwk, 32)?),
        ("EC", Some("P-384")) => Key::P384(point(&jwk, 48)?),
        ("OKP", Some("Ed25519")) => Key::Ed25519(coordinate("x", jwk.x.as_deref(), 32)?),
        _ => return Ok(None),
    };
    Ok(Some(Entry { id: jwk.kid, algorithm: jwk.alg, key }))
}

/// SEC 1's uncompressed form.
fn point(jwk: &Jwk, bytes: usize) -> Result<Vec<u8>, KeyError> {
    let mut point = vec![0x04];
    point.extend(coordinate("x", jwk.x.as_deref(), bytes)?);
    point.extend(coordinate("y", jwk.y.as_deref(), bytes)?);
    Ok(point)
}

fn coordinate(name: &str, text: Option<&str>, bytes: usize) -> Result<Vec<u8>, KeyError> {
    let value = member(name, text)?;
    if value.len() == bytes { Ok(value) } else { Err(KeyError::Set(format!("a key's '{name}' has not {bytes} bytes"))) }
}

fn member(name: &str, text: Option<&str>) -> Result<Vec<u8>, KeyError> {
    let value = text.and_then(decode).filter(|value| !value.is_empty());
    value.ok_or_else(|| KeyError::Set(format!("a key's '{name}' is missing or not base64url")))
}
