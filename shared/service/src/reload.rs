//! Files that are read again when they change, without a restart.
//!
//! A [`Reloader`] looks every few seconds whether the files behind a subject (certificates, access rules, users) have
//! changed and, if so, has them read again. What cannot be read leaves the old state in place, is said once in the log,
//! shows in [`Reloader::failing`], and is tried again at each look, so that a file that was written in two steps heals
//! by itself.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread,
    time::Duration,
};

/// Reads a subject's files and puts what they say into effect, or fails and changes nothing.
pub type Reload = Box<dyn FnMut() -> anyhow::Result<()> + Send>;

/// Subjects before they are watched.
#[derive(Default)]
pub struct Subjects(Vec<Subject>);

struct Subject {
    name: String,
    paths: Vec<PathBuf>,
    reload: Reload,
    seen: Vec<Stamp>,
    failure: Option<String>,
}

/// What tells that a file is another one than before. The inode catches a rename over it, also of a symbolic link's
/// target as Kubernetes does it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Subjects {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a subject whose files were just read. `name` is for the log and for [`Reloader::failing`].
    pub fn add(&mut self, name: impl Into<String>, paths: Vec<PathBuf>, reload: Reload) {
        let seen = stamps(&paths);
        self.0.push(Subject { name: name.into(), paths, reload, seen, failure: None });
    }

    /// Starts to watch, on a thread of its own that looks every `interval`.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn watch(mut self, interval: Duration) -> std::io::Result<Reloader> {
        let (wake, asked) = mpsc::channel();
        let failing = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&failing);
        thread::Builder::new().name("reload".into()).spawn(move || {
            loop {
                let forced = match asked.recv_timeout(interval) {
                    Ok(()) => true,
                    Err(RecvTimeoutError::Timeout) => false,
                    Err(RecvTimeoutError::Disconnected) => return,
                };
                let names = self.look(forced);
                *unpoisoned(&shared) = names;
            }
        })?;
        Ok(Reloader { wake, failing })
    }

    /// Reads again what changed (or everything) and says what could not be read.
    fn look(&mut self, forced: bool) -> Vec<String> {
        for subject in &mut self.0 {
            subject.look(forced);
        }
        self.0.iter().filter(|subject| subject.failure.is_some()).map(|subject| subject.name.clone()).collect()
    }
}

impl Subject {
    fn look(&mut self, forced: bool) {
        let stamps = stamps(&self.paths);
        let changed = stamps != self.seen;
        if !(forced || changed || self.failure.is_some()) {
            return;
        }
        // Taken before reading: a change during the reading is then seen at the next look.
        self.seen = stamps;
        match (self.reload)() {
            Ok(()) => {
                if forced || changed || self.failure.is_some() {
                    tracing::info!(what = self.name, "read again");
                }
                self.failure = None;
            }
            Err(error) => {
                let message = format!("{error:#}");
                if self.failure.as_ref() != Some(&message) {
                    tracing::error!(what = self.name, error = message, "not reloaded, the old state stays in force");
                }
                self.failure = Some(message);
            }
        }
    }
}

/// A running watch. Ends when it is dropped.
pub struct Reloader {
    wake: Sender<()>,
    failing: Arc<Mutex<Vec<String>>>,
}

impl Reloader {
    /// Has everything read again soon, changed or not: for SIGHUP.
    pub fn reload_now(&self) {
        // The thread only ends after this value is gone.
        let _ = self.wake.send(());
    }

    /// The names of the subjects whose files could not be read when they were last tried.
    #[must_use]
    pub fn failing(&self) -> Vec<String> {
        unpoisoned(&self.failing).clone()
    }
}

fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn stamps(paths: &[PathBuf]) -> Vec<Stamp> {
    paths.iter().map(|path| stamp(path)).collect()
}

/// A file that is not there has a stamp of zeros.
fn stamp(path: &Path) -> Stamp {
    fs::metadata(path).map_or(Stamp { inode: 0, size: 0, modified: (0, 0) }, |file| Stamp {
        inode: file.ino(),
        size: file.size(),
        modified: (file.mtime(), file.mtime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Instant,
    };

    use super::*;

    struct Watched {
        _dir: tempfile::TempDir,
        path: PathBuf,
        reads: Arc<AtomicUsize>,
        subjects: Subjects,
    }

    /// A subject whose file must not say `bad`.
    fn watched() -> Watched {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rules");
        fs::write(&path, "good").unwrap();
        let reads = Arc::new(AtomicUsize::new(0));
        let mut subjects = Subjects::new();
        let (file, counter) = (path.clone(), Arc::clone(&reads));
        let reload = move || {
            anyhow::ensure!(fs::read_to_string(&file)? != "bad", "it says bad");
            counter.fetch_add(1, Ordering::SeqCst);
            Ok(())
        };
        subjects.add("rules", vec![path.clone()], Box::new(reload));
        Watched { _dir: dir, path, reads, subjects }
    }

    #[test]
    fn a_file_is_read_again_only_when_it_changed_or_somebody_asks() {
        let mut it = watched();
        assert!(it.subjects.look(false).is_empty());
        assert_eq!(it.reads.load(Ordering::SeqCst), 0);
        fs::write(&it.path, "better").unwrap();
        it.subjects.look(false);
        it.subjects.look(false);
        assert_eq!(it.reads.load(Ordering::SeqCst), 1);
        it.subjects.look(true);
        assert_eq!(it.reads.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_broken_file_is_reported_until_it_is_whole_again() {
        let mut it = watched();
        fs::write(&it.path, "bad").unwrap();
        assert_eq!(it.subjects.look(false), ["rules"]);
        assert_eq!(it.subjects.look(false), ["rules"]);
        fs::remove_file(&it.path).unwrap();
        assert_eq!(it.subjects.look(false), ["rules"]);
        fs::write(&it.path, "whole").unwrap();
        assert!(it.subjects.look(false).is_empty());
        assert_eq!(it.reads.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn the_thread_reads_when_it_is_asked_to() {
        let it = watched();
        let reloader = it.subjects.watch(Duration::from_secs(3600)).unwrap();
        reloader.reload_now();
        let start = Instant::now();
        while it.reads.load(Ordering::SeqCst) == 0 && start.elapsed() < Duration::from_secs(10) {
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(it.reads.load(Ordering::SeqCst), 1);
        assert!(reloader.failing().is_empty());
    }
}
