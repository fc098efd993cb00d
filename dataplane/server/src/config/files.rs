//! Whether the files that a configuration names can be used.

use std::{fs, path::Path};

use sluice_dataplane_access::Rules;
use sluice_dataplane_auth::NodeSecret;
use sluice_service::{
    config::{ConfigError, Problem, Source},
    tls::TlsContext,
};

use super::{NodeConfig, top};

impl NodeConfig {
    /// Reads a file as [`Self::load`] does, and then everything that it names: certificates, keys, users, rules.
    ///
    /// # Errors
    /// Everything that is wrong, located at the key that names the file.
    pub fn check(path: &Path) -> Result<Self, ConfigError> {
        let source = Source::read(path)?.with_environment(super::environment());
        let mut config = Self::from_source(&source)?;
        config.resolve_paths(path.parent().unwrap_or(Path::new("")));
        source.refuse(config.problems_of_files())?;
        Ok(config)
    }

    fn problems_of_files(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (nth, listener) in self.listeners.iter().enumerate() {
            if let Some(Err(error)) = listener.tls_files().map(TlsContext::load) {
                problems.push(Problem::new(top("listeners").index(nth).key("tls"), error.to_string()));
            }
        }
        if let Some(path) = &self.access.file {
            let rules = fs::read_to_string(path).map_err(|error| format!(" cannot be read: {error}"));
            let rules = rules.and_then(|text| Rules::parse(&text, 0).map_err(|error| error.to_string()));
            if let Err(error) = rules {
                problems.push(Problem::new(top("access").key("file"), format!("{}:{error}", path.display())));
            }
        }
        // Whose decoys the chain shows does not matter here.
        let secret = NodeSecret::new(&[0; 32]);
        for (nth, step) in self.auth.chain.iter().enumerate() {
            if let Err(error) = sluice_dataplane_auth::load(std::slice::from_ref(step), &secret) {
                problems.push(Problem::new(top("auth").key("chain").index(nth), error.to_string()));
            }
        }
        problems
    }
}
