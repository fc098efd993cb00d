//! The file of access rules.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::Context as _;
use sluice_dataplane_access::{Rules, SOURCE_BYTES_MAX};
use sluice_dataplane_core::Input;
use sluice_service::reload::Subjects;

use crate::mailbox::{Letter, Mailbox};

/// The rules that were read at the start, and where they come from.
pub(super) struct AccessFile {
    path: Option<PathBuf>,
    rules: Arc<Rules>,
}

impl AccessFile {
    /// Reads the rules; without a file everybody who came in may do everything.
    pub(super) fn load(path: Option<PathBuf>) -> anyhow::Result<Self> {
        let rules = match &path {
            Some(path) => read(path, 1)?,
            None => Rules::allow_all(),
        };
        Ok(Self { path, rules: Arc::new(rules) })
    }

    /// The rules of the start.
    pub(super) fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules)
    }

    /// Gives the workers new rules whenever the file changes.
    pub(super) fn watch(&self, subjects: &mut Subjects, workers: &Arc<[Mailbox]>) {
        let Some(path) = self.path.clone() else { return };
        let (workers, revision) = (Arc::clone(workers), AtomicU64::new(1));
        let watched = vec![path.clone()];
        subjects.add(
            "access rules",
            watched,
            Box::new(move || {
                let rules = Arc::new(read(&path, revision.fetch_add(1, Ordering::Relaxed) + 1)?);
                for worker in workers.iter() {
                    worker.post(Letter::Input(Input::Rules(Arc::clone(&rules))));
                }
                Ok(())
            }),
        );
    }
}

fn read(path: &Path, revision: u64) -> anyhow::Result<Rules> {
    let size = fs::metadata(path).with_context(|| format!("cannot read the access rules {}", path.display()))?.len();
    anyhow::ensure!(size <= SOURCE_BYTES_MAX as u64, "{} is larger than {SOURCE_BYTES_MAX} bytes", path.display());
    let text = fs::read_to_string(path).with_context(|| format!("cannot read the access rules {}", path.display()))?;
    Rules::parse(&text, revision).with_context(|| format!("in the access rules {}", path.display()))
}
