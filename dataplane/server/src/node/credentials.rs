//! The sources of credentials, from configuration to chain.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use sluice_dataplane_auth::{Authenticator, BackoffPolicy, NodeSecret, config::StepConfig, load};
use sluice_service::reload::Subjects;

use super::standing::StandingNews;
use crate::config::NodeConfig;

/// The chain in force, and how to read it again.
pub(super) struct CredentialSources {
    authenticator: Arc<Authenticator>,
    steps: Vec<StepConfig>,
    secret: NodeSecret,
    files: Vec<PathBuf>,
}

impl CredentialSources {
    /// Reads everything the chain names.
    pub(super) fn load(config: &NodeConfig) -> anyhow::Result<Self> {
        let steps = config.auth.chain.clone();
        let secret = NodeSecret::new(&secret(&config.node.data)?);
        let loaded = load(&steps, &secret).context("in auth.chain")?;
        let authenticator = Arc::new(Authenticator::new(loaded.chain, BackoffPolicy::default())?);
        Ok(Self { authenticator, steps, secret, files: loaded.files })
    }

    /// What checks credentials.
    pub(super) fn authenticator(&self) -> &Arc<Authenticator> {
        &self.authenticator
    }

    /// Puts a new chain in force whenever one of the files changes, also for clients that are connected.
    pub(super) fn watch(&self, subjects: &mut Subjects, standing: &StandingNews) {
        if self.files.is_empty() {
            return;
        }
        let (standing, steps, secret) = (standing.clone(), self.steps.clone(), self.secret.clone());
        subjects.add(
            "credentials",
            self.files.clone(),
            Box::new(move || {
                standing.replace_chain(load(&steps, &secret)?.chain);
                Ok(())
            }),
        );
    }
}

/// The node's own secret, drawn when it first starts: it decides what a user that does not exist looks like, which
/// must stay the same.
fn secret(data: &Path) -> anyhow::Result<[u8; 32]> {
    super::system::private_directory(data)?;
    let path = data.join("node-secret");
    match fs::read(&path) {
        Ok(bytes) => match <[u8; 32]>::try_from(bytes) {
            Ok(secret) => Ok(secret),
            Err(_) => anyhow::bail!("{} is damaged: remove it, and a new one is made", path.display()),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let mut secret = [0; 32];
            super::system::random_bytes(&mut secret)?;
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)
                .with_context(|| format!("cannot write {}", path.display()))?;
            file.write_all(&secret)
                .and_then(|()| file.sync_all())
                .with_context(|| format!("cannot write {}", path.display()))?;
            Ok(secret)
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}
