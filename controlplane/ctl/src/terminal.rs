//! The world as it is: control over HTTP, files, the terminal.

use std::{
    io::{self, IsTerminal as _, Read as _, Write as _},
    path::Path,
    thread,
    time::Duration,
};

use crate::{
    contexts::write_private,
    failure::{Exit, Failure},
    http::Control,
    request::{Answer, Request},
    world::World,
};

/// The world of a process at a terminal, or at none.
pub struct Terminal {
    /// Absent for commands that need none.
    control: Option<Control>,
    /// Whether nobody is to be asked, as in continuous integration.
    is_unattended: bool,
}

impl Terminal {
    /// The terminal of this process.
    #[must_use]
    pub fn new(control: Option<Control>, is_unattended: bool) -> Self {
        Self { control, is_unattended }
    }
}

impl World for Terminal {
    fn send(&mut self, request: &Request) -> Result<Answer, Failure> {
        match &mut self.control {
            Some(control) => control.send(request),
            None => Err(Failure::new(Exit::Failed, "this command asks control for nothing")),
        }
    }

    fn confirm(&mut self, question: &str) -> Result<bool, Failure> {
        let stdin = io::stdin();
        if self.is_unattended || !stdin.is_terminal() {
            return Err(Failure::usage("nobody is there to say yes")
                .because("this is no terminal, or runs in continuous integration")
                .fix("say --yes, or --dry-run to see what would be done"));
        }
        let mut out = io::stderr();
        let _ = write!(out, "{question} [y/N] ").and_then(|()| out.flush());
        let mut line = String::new();
        stdin
            .read_line(&mut line)
            .map_err(|error| Failure::new(Exit::Failed, "no answer can be read").because(error))?;
        Ok(["y", "yes"].contains(&line.trim().to_lowercase().as_str()))
    }

    fn note(&mut self, text: &str) {
        // If nobody listens, nothing is lost.
        let _ = writeln!(io::stderr(), "{text}");
    }

    fn show(&mut self, text: &str) -> Result<(), Failure> {
        let mut out = io::stdout();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| {
            // Whoever read it has seen enough, as `head` does.
            let is_enough = error.kind() == io::ErrorKind::BrokenPipe;
            let exit = if is_enough { Exit::Ok } else { Exit::Failed };
            Failure::new(exit, "the result cannot be written").because(error)
        })
    }

    fn clear(&mut self) {
        let mut out = io::stdout();
        if out.is_terminal() {
            let _ = write!(out, "\u{1b}[H\u{1b}[2J\u{1b}[3J");
        }
    }

    fn pause(&mut self, time: Duration) {
        thread::sleep(time);
    }

    fn read(&mut self, path: &Path) -> Result<String, Failure> {
        read_file(path)
    }

    fn write(&mut self, path: &Path, text: &str) -> Result<(), Failure> {
        write_private(path, text).map_err(|error| of_file(path, "written", &error))
    }
}

/// Reads a file; `-` is what is piped in.
///
/// # Errors
/// It cannot be read, or is no text.
pub fn read_file(path: &Path) -> Result<String, Failure> {
    let text = if path == Path::new("-") {
        let mut text = String::new();
        io::stdin().take(FILE_BYTES_MAX).read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    text.map_err(|error| of_file(path, "read", &error))
}

fn of_file(path: &Path, done: &str, error: &io::Error) -> Failure {
    let exit = if error.kind() == io::ErrorKind::PermissionDenied { Exit::Denied } else { Exit::Config };
    Failure::new(exit, format!("{} cannot be {done}", path.display())).because(error)
}

/// Far more than control takes in one request.
const FILE_BYTES_MAX: u64 = 16 << 20;
