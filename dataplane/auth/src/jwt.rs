//! JSON Web Tokens (RFC 7519) in compact form, signed (RFC 7515).
//!
//! The envelope is read here and the signatures are checked by ring, the library that TLS uses too. Which algorithms a
//! token may use is configuration; what the token says can only narrow that. A key serves only the algorithms of its
//! own kind, so a public key never becomes a shared secret.

use std::{num::NonZeroU64, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use sluice_dataplane_access::Scope;

use self::claims::Claims;
pub(crate) use self::key::KeySet;
use crate::{
    config::{JwtAlgorithm, JwtConfig, TokenPlace},
    credentials::{Credentials, Identity, Method, Refusal},
    name::check_name,
};

mod claims;
mod jwks;
mod key;

/// The `jwt` step: a configuration and the keys that it names.
#[derive(Clone, Debug)]
pub(crate) struct JwtStep {
    config: JwtConfig,
    keys: KeySet,
    groups: Vec<Arc<str>>,
}

/// A token, cut at its dots. Nothing in it has been verified.
struct Token<'a> {
    header: Header,
    /// Header and claims, as signed.
    signed: &'a str,
    claims: &'a str,
    signature: Vec<u8>,
}

/// What is looked at of a token's header. `jwk`, `jku` and `x5u`, by which a token brings its own key, are not.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Extensions that must be understood; none is.
    crit: Option<serde_json::Value>,
}

impl JwtStep {
    pub(crate) fn new(config: JwtConfig, keys: KeySet) -> Self {
        let groups = config.groups.iter().map(|group| Arc::from(&**group)).collect();
        Self { config, keys, groups }
    }

    /// Who the token says the client is; `None` where no token was shown.
    pub(crate) fn check(&self, credentials: &Credentials<'_>, now_ms: u64) -> Option<Result<Identity, Refusal>> {
        let text = match self.config.token {
            TokenPlace::Password => credentials.password.and_then(|bytes| std::str::from_utf8(bytes).ok()),
            TokenPlace::Username => credentials.username,
        };
        let token = Token::parse(text?)?;
        Some(self.verify(&token).and_then(|(claims, grounds)| {
            let identity = self.identify(&claims, credentials, now_ms)?;
            Ok(Identity { grounds: Some(grounds), ..identity })
        }))
    }

    /// Whether a key with this fingerprint is in force.
    pub(crate) fn has_key(&self, grounds: NonZeroU64) -> bool {
        self.keys.fingerprints().any(|fingerprint| fingerprint == grounds)
    }

    /// What a genuine token says, and the fingerprint of the key that says so.
    fn verify(&self, token: &Token<'_>) -> Result<(Claims, NonZeroU64), Refusal> {
        let algorithm = self.config.algorithms.iter().find(|algorithm| name(**algorithm) == token.header.alg);
        let algorithm = *algorithm.ok_or(Refusal::Bad)?;
        if token.header.crit.is_some() {
            return Err(Refusal::Bad);
        }
        let key = self.keys.select(algorithm, token.header.kid.as_deref()).ok_or(Refusal::Bad)?;
        if !key.verifies(algorithm, token.signed.as_bytes(), &token.signature) {
            return Err(Refusal::Bad);
        }
        let claims = Claims::parse(&decode(token.claims).ok_or(Refusal::Bad)?).ok_or(Refusal::Bad)?;
        Ok((claims, key.fingerprint()))
    }

    fn identify(&self, claims: &Claims, credentials: &Credentials<'_>, now_ms: u64) -> Result<Identity, Refusal> {
        let config = &self.config;
        let expires_at_ms = self.check_time(claims, now_ms)?;
        let issued_for_us = config.issuer.as_deref().is_none_or(|issuer| claims.is_text("iss", issuer))
            && claims.audience_admits(config.audience.as_deref());
        if !issued_for_us {
            return Err(Refusal::Bad);
        }
        let username = claims.text(&config.username_claim).ok_or(Refusal::Bad)?;
        check_name(username).map_err(|_| Refusal::Bad)?;
        if let Some(claim) = &config.client_id_claim
            && !claims.is_text(claim, credentials.client_id)
        {
            return Err(Refusal::ClientId);
        }
        let mut identity = Identity { expires_at_ms, ..Identity::user(username, Method::Jwt) };
        identity.groups = self.groups.clone();
        let groups = claims.texts(&config.groups_claim).map_err(|_| Refusal::Bad)?;
        identity.groups.extend(groups.into_iter().flatten().map(Arc::from));
        identity.scope = self.scope(claims)?;
        Ok(identity)
    }

    /// When the session must end, if ever.
    fn check_time(&self, claims: &Claims, now_ms: u64) -> Result<Option<u64>, Refusal> {
        let leeway_ms = u64::from(self.config.leeway_seconds) * 1000;
        let starts_at_ms = claims.time_ms("nbf").map_err(|_| Refusal::Bad)?;
        if starts_at_ms.is_some_and(|start| start > now_ms.saturating_add(leeway_ms)) {
            return Err(Refusal::Expired);
        }
        match claims.time_ms("exp").map_err(|_| Refusal::Bad)? {
            Some(end) => {
                let end = end.saturating_add(leeway_ms);
                if end <= now_ms { Err(Refusal::Expired) } else { Ok(Some(end)) }
            }
            None if self.config.require_expiry => Err(Refusal::Bad),
            None => Ok(None),
        }
    }

    fn scope(&self, claims: &Claims) -> Result<Option<Arc<Scope>>, Refusal> {
        let publish = claims.texts(&self.config.publish_claim).map_err(|_| Refusal::Bad)?;
        let subscribe = claims.texts(&self.config.subscribe_claim).map_err(|_| Refusal::Bad)?;
        if publish.is_none() && subscribe.is_none() {
            return Ok(None);
        }
        let scope = Scope::parse(publish.as_deref(), subscribe.as_deref()).map_err(|_| Refusal::Bad)?;
        Ok(Some(Arc::new(scope)))
    }
}

impl<'a> Token<'a> {
    /// `None` for a text that does not look like a token, such as a password.
    fn parse(text: &'a str) -> Option<Self> {
        if text.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        if claims.contains('.') {
            return None;
        }
        // As a whole first: what a struct has no field for is skipped unread, and a header that is no JSON in UTF-8 must
        // be refused (RFC 7515, section 5.2).
        let header: serde_json::Value = serde_json::from_slice(&decode(header)?).ok()?;
        let header = serde_json::from_value(header).ok()?;
        Some(Self { header, signed, claims, signature: decode(signature)? })
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// The name of an algorithm in a token's header.
fn name(algorithm: JwtAlgorithm) -> &'static str {
    match algorithm {
        JwtAlgorithm::HS256 => "HS256",
        JwtAlgorithm::HS384 => "HS384",
        JwtAlgorithm::HS512 => "HS512",
        JwtAlgorithm::RS256 => "RS256",
        JwtAlgorithm::RS384 => "RS384",
        JwtAlgorithm::RS512 => "RS512",
        JwtAlgorithm::PS256 => "PS256",
        JwtAlgorithm::PS384 => "PS384",
        JwtAlgorithm::PS512 => "PS512",
        JwtAlgorithm::ES256 => "ES256",
        JwtAlgorithm::ES384 => "ES384",
        JwtAlgorithm::EdDSA => "EdDSA",
    }
}

/// Longer texts are taken for passwords.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

#[cfg(test)]
mod tests;
