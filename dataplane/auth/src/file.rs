//! Reading files that hold secrets, after a look at who else can read them.

use std::{
    fs::{self, File, Metadata},
    io::Read,
    os::unix::fs::MetadataExt,
    path::Path,
};

use crate::{SourceError, config::FilePermissions};

/// Reads a whole file. The permissions of the file that was opened are checked, not those of its path, so that nobody
/// can exchange one for the other in between.
pub(crate) fn read(path: &Path, permissions: FilePermissions) -> Result<Vec<u8>, SourceError> {
    let failed = |error: std::io::Error| SourceError::new(path, format!("cannot be read: {error}"), "");
    let link = fs::symlink_metadata(path).map_err(failed)?;
    let mut file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    check(path, &link, &metadata, permissions)?;
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    let read = file.by_ref().take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if read as u64 > FILE_BYTES_MAX {
        return Err(too_large(path));
    }
    Ok(bytes)
}

/// As [`read`], for text.
pub(crate) fn read_text(path: &Path, permissions: FilePermissions) -> Result<String, SourceError> {
    String::from_utf8(read(path, permissions)?).map_err(|error| {
        let lines = error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        let line = u32::try_from(lines + 1).ok();
        SourceError { line, ..SourceError::new(path, "this line is not UTF-8", "") }
    })
}

fn check(path: &Path, link: &Metadata, file: &Metadata, permissions: FilePermissions) -> Result<(), SourceError> {
    if !file.is_file() {
        return Err(SourceError::new(path, "is not a regular file", ""));
    }
    if file.len() > FILE_BYTES_MAX {
        return Err(too_large(path));
    }
    let (refused_bits, whose) = match permissions {
        FilePermissions::Owner => (0o077, "others than its owner"),
        FilePermissions::Group => (0o037, "others than its owner and group"),
        FilePermissions::Any => return Ok(()),
    };
    if file.mode() & refused_bits != 0 {
        let mode = file.mode() & 0o777;
        let what = format!("has mode {mode:04o}, which opens it to {whose}");
        let hint = format!("chmod {:04o} {}", mode & !refused_bits, path.display());
        return Err(SourceError::new(path, what, hint));
    }
    if link.is_symlink() && link.uid() != file.uid() && link.uid() != ROOT {
        return Err(SourceError::new(
            path,
            "is a link made by another user than the file's owner",
            "name the file itself",
        ));
    }
    Ok(())
}

fn too_large(path: &Path) -> SourceError {
    SourceError::new(path, format!("has more than {FILE_BYTES_MAX} bytes"), "")
}

/// Half a million users.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
const ROOT: u32 = 0;

#[cfg(test)]
mod tests;
