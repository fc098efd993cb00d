//! Who clients are and what they may do.

use std::{iter, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluice_dataplane_auth::config::{JwtAlgorithm, StepConfig};

/// What clients may publish and subscribe to.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Access {
    /// The rules; watched, and read again when it changes. What no rule allows is denied. Without a file, every client
    /// that came in may publish and subscribe to everything.
    pub file: Option<PathBuf>,
}

/// How the credentials of clients are checked.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    /// The steps in order. The first that finds credentials of its kind decides; a client that none accepts is refused.
    pub chain: Vec<StepConfig>,
}

/// Every path in a step.
pub(super) fn paths_mut(step: &mut StepConfig) -> impl Iterator<Item = &mut PathBuf> {
    let jwt = step.jwt.as_mut().into_iter().flat_map(|jwt| {
        [jwt.secret_file.as_mut(), jwt.public_key_file.as_mut(), jwt.jwks_file.as_mut()].into_iter().flatten()
    });
    iter::empty().chain(step.password.as_mut().map(|step| &mut step.file)).chain(jwt)
}

/// How many kinds of credentials a step is for; one, when it is right.
pub(super) fn kinds(step: &StepConfig) -> usize {
    let StepConfig { password, jwt, certificate } = step;
    [password.is_some(), jwt.is_some(), certificate.is_some()].iter().filter(|set| **set).count()
}

/// Whether both sides hold the same secret.
pub(super) fn is_symmetric(algorithm: JwtAlgorithm) -> bool {
    matches!(algorithm, JwtAlgorithm::HS256 | JwtAlgorithm::HS384 | JwtAlgorithm::HS512)
}
