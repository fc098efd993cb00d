//! The last good tables on disk: one file, replaced as a whole.
//!
//! A line that says what it is, the length of the region's name and the name, a CRC-32C of all that follows it, and the tables
//! as the push protocol writes them. A file that is damaged or of another region is not used: control sends everything.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sluice_cluster::Label;
use sluice_discovery::{
    Saved,
    wire::{read_saved, write_saved},
};
use sluice_service::durable;
use tracing::{info, warn};

/// The file of a folder.
#[derive(Clone, Debug)]
pub(super) struct SavedFile {
    path: PathBuf,
    region: String,
}

impl SavedFile {
    pub(super) fn new(folder: &Path, region: Option<&Label>) -> Self {
        Self { path: folder.join("tables"), region: region.map(Label::to_string).unwrap_or_default() }
    }

    /// What was saved, if it can be used.
    pub(super) fn load(&self) -> Option<Saved> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                warn!(path = %self.path.display(), %error, "saved tables cannot be read: control will send them");
                return None;
            }
        };
        match self.parse(&bytes) {
            Ok(Some(saved)) => Some(saved),
            Ok(None) => {
                info!(region = self.region, "the node's region has changed: control will send its tables");
                None
            }
            Err(what) => {
                warn!(path = %self.path.display(), what, "saved tables are damaged: control will send them");
                None
            }
        }
    }

    /// Saves a state; when this returns, it is on disk.
    pub(super) fn save(&self, saved: &Saved) -> io::Result<()> {
        let tables = write_saved(saved);
        let mut checked = Vec::with_capacity(1 + self.region.len() + tables.len());
        // A label has at most 63 bytes.
        checked.push(self.region.len() as u8);
        checked.extend_from_slice(self.region.as_bytes());
        checked.extend_from_slice(&tables);
        drop(tables);
        let mut file = Vec::with_capacity(HEAD.len() + 4 + checked.len());
        file.extend_from_slice(HEAD);
        file.extend_from_slice(&crc32c::crc32c(&checked).to_le_bytes());
        file.extend_from_slice(&checked);
        durable::replace(&self.path, &file)
    }

    /// `None` for another region's.
    fn parse(&self, bytes: &[u8]) -> Result<Option<Saved>, String> {
        let rest = bytes.strip_prefix(HEAD).ok_or("it begins as another kind of file")?;
        let (sum, checked) = rest.split_first_chunk::<4>().ok_or("it is too short")?;
        if crc32c::crc32c(checked) != u32::from_le_bytes(*sum) {
            return Err("its checksum does not match".into());
        }
        let (length, rest) = checked.split_first().ok_or("it is too short")?;
        let (region, tables) = rest.split_at_checked(usize::from(*length)).ok_or("it is too short")?;
        if region != self.region.as_bytes() {
            return Ok(None);
        }
        read_saved(tables).map(Some).map_err(|error| error.to_string())
    }
}

const HEAD: &[u8] = b"sluice tables 1\n";

#[cfg(test)]
mod tests {
    use sluice_cluster::Version;
    use sluice_discovery::{Name, Resource, ResourceType};

    use super::*;

    fn saved() -> Saved {
        let mut saved = Saved::default();
        let nodes = saved.types.of_mut(ResourceType::Nodes);
        nodes.version = Version::new(1, 2);
        let body = [7; 9].as_slice().into();
        nodes.resources.push(Resource { name: Name::new("a").unwrap(), version: Version::new(1, 1), body });
        saved
    }

    #[test]
    fn what_was_saved_comes_back_in_the_same_region_only() {
        let folder = tempfile::tempdir().unwrap();
        let region = Label::parse("eu").unwrap();
        let file = SavedFile::new(folder.path(), Some(&region));
        assert_eq!(file.load(), None);
        file.save(&saved()).unwrap();
        assert_eq!(file.load(), Some(saved()));
        assert_eq!(SavedFile::new(folder.path(), None).load(), None);
    }

    #[test]
    fn no_damage_of_one_byte_is_taken_for_a_state() {
        let folder = tempfile::tempdir().unwrap();
        let file = SavedFile::new(folder.path(), None);
        file.save(&saved()).unwrap();
        let whole = fs::read(&file.path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            assert!(file.parse(&damaged).is_err(), "byte {at}");
            assert!(file.parse(&whole[..at]).is_err(), "cut at {at}");
        }
    }
}
