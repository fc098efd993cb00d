//! Configuration → chain: reads every file that the steps name.

use std::{path::PathBuf, sync::Arc};

use crate::{
    Chain, NodeSecret, PasswordFile, SourceError,
    certificate::CertificateStep,
    chain::{PasswordStep, Step},
    config::{FilePermissions, JwtConfig, PasswordConfig, StepConfig},
    file,
    jwt::{JwtStep, KeySet},
    name::check_name,
};

/// A chain and where it came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The steps, ready.
    pub chain: Arc<Chain>,
    /// The files that were read: when one of them changes, load again.
    pub files: Vec<PathBuf>,
}

/// Builds a chain from files. Fails as a whole: on an error the caller keeps the chain that it has.
pub fn load(steps: &[StepConfig], secret: &NodeSecret) -> Result<Loaded, SourceError> {
    let mut files = Vec::new();
    let steps = steps.iter().map(|step| load_step(step, secret, &mut files)).collect::<Result<_, _>>()?;
    Ok(Loaded { chain: Arc::new(Chain::new(steps)), files })
}

fn load_step(step: &StepConfig, secret: &NodeSecret, files: &mut Vec<PathBuf>) -> Result<Step, SourceError> {
    match (&step.password, &step.jwt, &step.certificate) {
        (Some(config), None, None) => load_password(config, secret, files).map(Step::Password),
        (None, Some(config), None) => load_jwt(config, files).map(|step| Step::Jwt(Box::new(step))),
        (None, None, Some(config)) => {
            check_groups(&config.groups)?;
            Ok(Step::Certificate(CertificateStep::new(config)))
        }
        _ => Err(configuration("a step of the auth chain is one of password, jwt, certificate", "split it into steps")),
    }
}

fn load_password(
    config: &PasswordConfig,
    secret: &NodeSecret,
    files: &mut Vec<PathBuf>,
) -> Result<PasswordStep, SourceError> {
    check_groups(&config.groups)?;
    let text = file::read_text(&config.file, config.permissions)?;
    files.push(config.file.clone());
    let parsed = PasswordFile::parse(&text, secret.clone()).map_err(|error| SourceError {
        line: Some(error.line),
        ..SourceError::new(&config.file, error.what, "the whole file is refused until this is mended")
    })?;
    let groups = config.groups.iter().map(|group| Arc::from(&**group)).collect();
    Ok(PasswordStep { file: Arc::new(parsed), groups })
}

fn load_jwt(config: &JwtConfig, files: &mut Vec<PathBuf>) -> Result<JwtStep, SourceError> {
    check_groups(&config.groups)?;
    if config.algorithms.is_empty() {
        return Err(configuration("jwt.algorithms is empty", "name what the issuer signs with, such as [ES256]"));
    }
    let algorithms = &config.algorithms;
    let (path, keys) = match (&config.secret_file, &config.public_key_file, &config.jwks_file) {
        (Some(path), None, None) => (path, KeySet::from_secret(&file::read(path, config.permissions)?, algorithms)),
        (None, Some(path), None) => (path, KeySet::from_pem(&file::read(path, FilePermissions::Any)?, algorithms)),
        (None, None, Some(path)) => (path, KeySet::from_jwks(&file::read(path, config.permissions)?, algorithms)),
        _ => {
            let hint = "set one of secret_file, public_key_file, jwks_file";
            return Err(configuration("a jwt step has one source of keys", hint));
        }
    };
    files.push(path.clone());
    let keys = keys.map_err(|error| SourceError::new(path, error.to_string(), ""))?;
    Ok(JwtStep::new(config.clone(), keys))
}

fn check_groups(groups: &[String]) -> Result<(), SourceError> {
    let checked = groups.iter().try_for_each(|group| check_name(group).map(drop));
    checked.map_err(|error| configuration(format!("auth: groups: {error}"), ""))
}

fn configuration(what: impl Into<String>, hint: impl Into<String>) -> SourceError {
    SourceError::new("", what, hint)
}

#[cfg(test)]
mod tests;
