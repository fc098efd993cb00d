//! A process of the demo: control or a node, run by this same executable.

use std::{
    fs::{self, OpenOptions},
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

/// A process that runs or can be started. Dropped, it is killed.
#[derive(Debug)]
pub(super) struct Service {
    name: String,
    executable: PathBuf,
    arguments: Vec<String>,
    log: PathBuf,
    child: Option<Child>,
}

impl Service {
    /// A process that does not run yet: `role` (`node` or `control`) with its file.
    pub(super) fn new(executable: &Path, role: &str, name: &str, config: &Path, log: PathBuf) -> Self {
        let arguments = ["--tied-to", &std::process::id().to_string(), role, "--config", &config.display().to_string()];
        Self {
            name: name.into(),
            executable: executable.into(),
            arguments: arguments.map(str::to_owned).into(),
            log,
            child: None,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Starts it. What it says is appended to its log.
    ///
    /// # Errors
    /// The system refuses.
    pub(super) fn start(&mut self) -> io::Result<()> {
        let log = OpenOptions::new().append(true).create(true).open(&self.log)?;
        let mut command = Command::new(&self.executable);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
        // An interrupt from the terminal is for the demo, which ends its processes in order.
        command.process_group(0);
        // What is meant for a node of this machine is none of theirs.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SLUICE_")) {
            command.env_remove(name);
        }
        self.child = Some(command.spawn()?);
        Ok(())
    }

    /// Whether it was started and has not ended, as far as [`Self::ended`] has looked.
    pub(super) fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// How it ended, told once.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        self.child = None;
        Some(status)
    }

    /// Ends it as a power cut would.
    pub(super) async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill().await;
        }
    }

    /// Asks it to end.
    pub(super) fn ask_to_end(&self) {
        let pid = self.child.as_ref().and_then(Child::id).and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(pid) = pid {
            // It may have ended by itself; until it is waited for, the number is nobody else's.
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Waits for its end, and after `patience` does not wait any longer.
    pub(super) async fn end(&mut self, patience: Duration) {
        if let Some(child) = &mut self.child {
            let _ = timeout(patience, child.wait()).await;
        }
        self.kill().await;
    }

    /// The end of what it said, for a person who has to know why it ended.
    pub(super) fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = &lines[lines.len().saturating_sub(LAST_WORDS)..];
        format!("{}\n  -> all it said: {}", last.join("\n"), self.log.display())
    }
}

/// Lines.
const LAST_WORDS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    /// A shell instead of the server: it gets the same arguments.
    fn service(dir: &Path, script: &str) -> Service {
        let mut service = Service::new(Path::new("/bin/sh"), "node", "d1", Path::new("d1.yaml"), dir.join("d1.log"));
        service.arguments.splice(0..0, ["-c", script, "sh"].map(str::to_owned));
        service
    }

    #[tokio::test]
    async fn it_is_told_whose_it_is_and_what_to_be_and_its_words_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut service = service(dir.path(), "echo \"$@\"; echo bad luck >&2; exit 3");
        service.start().unwrap();
        let status = service.child.as_mut().unwrap().wait().await.unwrap();
        assert_eq!(service.ended(), Some(status));
        assert_eq!((status.code(), service.ended(), service.is_running()), (Some(3), None, false));
        let words = service.last_words();
        assert!(
            words.starts_with(&format!("--tied-to {} node --config d1.yaml\nbad luck", std::process::id())),
            "{words}"
        );
        service.start().unwrap();
        service.end(Duration::from_secs(10)).await;
        assert_eq!(service.last_words().matches("bad luck").count(), 2, "the log is appended to");
    }

    #[tokio::test]
    async fn who_does_not_end_when_asked_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        let mut service = service(dir.path(), "trap '' TERM; echo up; while :; do sleep 1; done");
        service.start().unwrap();
        while !service.last_words().starts_with("up") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        service.ask_to_end();
        service.end(Duration::from_millis(100)).await;
        assert!(!service.is_running());
    }
}
