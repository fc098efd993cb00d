//! The files of the tree, as they stand on the disk.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use ignore::WalkBuilder;

use crate::RustFile;

/// A file and, where it is text, what it says.
#[derive(Clone, Debug)]
pub struct File {
    /// From the root, with `/`.
    pub path: String,
    /// Empty when the file is not UTF-8.
    pub text: String,
}

/// All files that belong to the tree: what version control ignores is left out, and so is what it keeps for itself.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
    files: Vec<File>,
}

impl Tree {
    /// Reads the tree that this crate belongs to.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn read() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let root = root.canonicalize().context("the root of the tree")?;
        let mut files = Vec::new();
        // Honours .gitignore also where there is no repository, such as in an unpacked archive.
        let walk =
            WalkBuilder::new(&root).hidden(false).require_git(false).filter_entry(|e| e.file_name() != ".git").build();
        for entry in walk {
            let entry = entry?;
            if entry.file_type().is_some_and(|kind| kind.is_file()) {
                files.push(read_file(&root, entry.path())?);
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { root, files })
    }

    /// A tree of given files, for the tests of the checks.
    #[must_use]
    pub fn of(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| File { path: (*path).into(), text: (*text).into() };
        Self { root: "/checkout/sluice".into(), files: files.iter().map(file).collect() }
    }

    /// Where the tree stands.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// All files, by path.
    pub fn files(&self) -> impl Iterator<Item = &File> {
        self.files.iter()
    }

    /// Whether there is a file or a folder at this path.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        let folder = format!("{}/", path.trim_end_matches('/'));
        self.files.iter().any(|file| file.path == path || file.path.starts_with(&folder))
    }

    /// The file at this path.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// All Rust sources.
    ///
    /// # Errors
    /// One that does not parse.
    pub fn rust(&self) -> Result<Vec<RustFile>> {
        self.files.iter().filter(|file| file.path.ends_with(".rs")).map(RustFile::parse).collect()
    }
}

fn read_file(root: &Path, path: &Path) -> Result<File> {
    let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let path = path.strip_prefix(root)?.to_string_lossy().replace('\\', "/");
    Ok(File { path, text: String::from_utf8(bytes).unwrap_or_default() })
}
