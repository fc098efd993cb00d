//! What this replica has seen of the store, on its disk: three numbers in a file that is replaced whole.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

use sluice_cluster::Epoch;
use sluice_controlplane_core::{ledger::Revision, reconciler::Witness};

/// The file.
pub(super) struct WitnessFile {
    path: PathBuf,
    kept: Witness,
}

impl WitnessFile {
    /// Opens the file of a directory; nothing was seen if there is none.
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        let path = directory.join("witness");
        let kept = match fs::read_to_string(&path) {
            Ok(text) => {
                parse(&text).ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "it is no file of this kind"))?
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Witness::default(),
            Err(error) => return Err(error),
        };
        Ok(Self { path, kept })
    }

    pub(super) fn witness(&self) -> Witness {
        self.kept
    }

    /// Keeps what was seen, if it is something new.
    pub(super) fn keep(&mut self, witness: Witness) -> io::Result<()> {
        if witness == self.kept {
            return Ok(());
        }
        let fresh = self.path.with_extension("new");
        let mut file = File::create(&fresh)?;
        writeln!(file, "epoch {} barrier {} revision {}", witness.epoch(), witness.barrier(), witness.revision())?;
        file.sync_all()?;
        fs::rename(&fresh, &self.path)?;
        File::open(self.path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
        self.kept = witness;
        Ok(())
    }
}

fn parse(text: &str) -> Option<Witness> {
    let words: Vec<&str> = text.split_whitespace().collect();
    // The earliest files have no revision.
    let (epoch, barrier, revision) = match words[..] {
        ["epoch", epoch, "barrier", barrier, "revision", revision] => (epoch, barrier, revision),
        ["epoch", epoch, "barrier", barrier] => (epoch, barrier, "0"),
        _ => return None,
    };
    let (epoch, barrier) = (Epoch(epoch.parse().ok()?), Epoch(barrier.parse().ok()?));
    Some(Witness::restored(epoch, barrier, Revision(revision.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_there_after_a_restart_and_a_file_of_another_kind_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let seen = Witness::restored(Epoch(9), Epoch(4), Revision(70));
        let mut file = WitnessFile::open(dir.path()).unwrap();
        assert_eq!(file.witness(), Witness::default());
        file.keep(seen).unwrap();
        assert_eq!(WitnessFile::open(dir.path()).unwrap().witness(), seen);
        fs::write(dir.path().join("witness"), "epoch 9 barrier 4").unwrap();
        let without = Witness::restored(Epoch(9), Epoch(4), Revision(0));
        assert_eq!(WitnessFile::open(dir.path()).unwrap().witness(), without);
        fs::write(dir.path().join("witness"), "epoch 9").unwrap();
        assert!(WitnessFile::open(dir.path()).is_err());
    }
}
