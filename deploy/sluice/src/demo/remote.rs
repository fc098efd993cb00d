//! How `sluice demo kill` and the like speak to the demo that runs: over a Unix socket in a directory that only this user
//! may enter. Where it is stands in a file of this user.
//!
//! One line of JSON each way.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::{fs::MetadataExt as _, net::UnixStream},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _},
    net::UnixListener,
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::timeout,
};

/// What is asked of a demo.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "order")]
pub(super) enum Order {
    Kill { node: String },
    Start { node: String },
    Partition { a: String, b: String, span_ms: Option<u64> },
    Heal,
    Status,
}

/// What came of it, for a person: the answer, or why not.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply {
    Done(String),
    Refused(String),
}

/// An order, and where its reply goes.
pub(super) type Asked = (Order, oneshot::Sender<Reply>);

/// The file that says where the demo is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Whereabouts {
    socket: PathBuf,
    /// What has to be removed when the demo was killed.
    temporary: Vec<PathBuf>,
}

/// The running demo's end. Dropped, nobody finds it.
#[derive(Debug)]
pub(super) struct Door {
    file: PathBuf,
    _tasks: JoinSet<()>,
}

impl Door {
    /// Opens a socket in `dir`, and says in `file` where it is. Orders come out at the other end of `orders`.
    ///
    /// # Errors
    /// The directory or the file cannot be written.
    pub(super) fn open(
        file: PathBuf,
        dir: &Path,
        temporary: Vec<PathBuf>,
        orders: mpsc::Sender<Asked>,
    ) -> io::Result<Self> {
        let socket = dir.join("demo.sock");
        let listener = UnixListener::bind(&socket)?;
        write(&file, &Whereabouts { socket, temporary })?;
        let mut tasks = JoinSet::new();
        tasks.spawn(attend(listener, orders));
        Ok(Self { file, _tasks: tasks })
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        // It may be gone.
        let _ = fs::remove_file(&self.file);
    }
}

async fn attend(listener: UnixListener, orders: mpsc::Sender<Asked>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let orders = orders.clone();
                // Whoever says nothing is not waited for.
                connections.spawn(async move { drop(timeout(REPLY_DEADLINE, serve(stream, orders)).await) });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: tokio::net::UnixStream, orders: mpsc::Sender<Asked>) -> io::Result<()> {
    let (input, mut output) = stream.into_split();
    let mut line = String::new();
    tokio::io::BufReader::new(input).read_line(&mut line).await?;
    let reply = match serde_json::from_str(&line) {
        Ok(order) => {
            let (sender, reply) = oneshot::channel();
            let ended = || Reply::Refused("the demo is ending".into());
            match orders.send((order, sender)).await {
                Ok(()) => reply.await.unwrap_or_else(|_| ended()),
                Err(_) => ended(),
            }
        }
        Err(error) => Reply::Refused(format!("this is no order: {error}")),
    };
    output.write_all((serde_json::to_string(&reply)? + "\n").as_bytes()).await
}

/// Asks the demo that runs.
///
/// # Errors
/// None runs, or it does not answer; both in words.
pub(super) fn ask(file: &Path, order: &Order) -> Result<Reply, String> {
    let none = || "no demo runs; start one with `sluice demo`".to_owned();
    let whereabouts = read(file).ok_or_else(none)?;
    let mut stream = UnixStream::connect(&whereabouts.socket).map_err(|_| none())?;
    let exchange = || -> io::Result<Reply> {
        stream.set_read_timeout(Some(REPLY_DEADLINE))?;
        writeln!(stream, "{}", serde_json::to_string(order)?)?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    };
    exchange().map_err(|error| format!("the demo does not answer: {error}"))
}

/// Where the file of this user is.
pub(super) fn file() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(dir) if !dir.is_empty() => Path::new(&dir).join("sluice-demo.json"),
        _ => std::env::temp_dir().join(format!("sluice-demo-{}.json", rustix::process::geteuid().as_raw())),
    }
}

/// What became of the demo that the file tells of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Earlier {
    /// There is no such demo.
    None,
    /// It runs.
    Running,
    /// It was killed, and left these directories.
    Killed(Vec<PathBuf>),
}

/// Looks whether a demo runs.
pub(super) fn earlier(file: &Path) -> Earlier {
    match read(file) {
        None => Earlier::None,
        Some(whereabouts) if UnixStream::connect(&whereabouts.socket).is_ok() => Earlier::Running,
        Some(whereabouts) => Earlier::Killed(whereabouts.temporary),
    }
}

/// Reads the file, if it is one of this user: everybody may write to a directory for temporary files.
fn read(file: &Path) -> Option<Whereabouts> {
    let metadata = fs::symlink_metadata(file).ok()?;
    if !metadata.is_file() || metadata.uid() != rustix::process::geteuid().as_raw() {
        return None;
    }
    serde_json::from_slice(&fs::read(file).ok()?).ok()
}

/// Replaces the file as a whole; one that another user put there makes it fail.
fn write(file: &Path, whereabouts: &Whereabouts) -> io::Result<()> {
    let dir = file.parent().unwrap_or(Path::new("/"));
    let mut new = tempfile::NamedTempFile::new_in(dir)?;
    new.write_all(&serde_json::to_vec(whereabouts)?)?;
    new.persist(file).map_err(|error| error.error)?;
    Ok(())
}

/// A node that is started is waited for.
const REPLY_DEADLINE: Duration = Duration::from_secs(90);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn orders_reach_the_demo_and_replies_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("where.json");
        assert_eq!(ask(&file, &Order::Heal).unwrap_err(), "no demo runs; start one with `sluice demo`");
        assert_eq!(earlier(&file), Earlier::None);
        let (sender, mut orders) = mpsc::channel(1);
        let door = Door::open(file.clone(), dir.path(), vec!["/left".into()], sender).unwrap();
        assert_eq!(earlier(&file), Earlier::Running);
        let order = Order::Partition { a: "eu".into(), b: "us".into(), span_ms: Some(60_000) };
        let (asked, given) = (order.clone(), file.clone());
        let asking = tokio::task::spawn_blocking(move || ask(&given, &asked));
        let (heard, reply) = orders.recv().await.unwrap();
        assert_eq!(heard, order);
        reply.send(Reply::Done("cut".into())).unwrap();
        assert_eq!(asking.await.unwrap(), Ok(Reply::Done("cut".into())));
        drop(door);
        assert_eq!(earlier(&file), Earlier::None);
    }

    #[tokio::test]
    async fn what_a_killed_demo_left_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("where.json");
        write(&file, &Whereabouts { socket: dir.path().join("gone.sock"), temporary: vec!["/left".into()] }).unwrap();
        assert_eq!(earlier(&file), Earlier::Killed(vec!["/left".into()]));
        assert!(ask(&file, &Order::Status).unwrap_err().contains("no demo runs"));
        let link = dir.path().join("link.json");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(earlier(&link), Earlier::None, "a link may lead anywhere");
    }

    #[tokio::test]
    async fn what_is_no_order_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (sender, _orders) = mpsc::channel(1);
        let _door = Door::open(dir.path().join("where.json"), dir.path(), Vec::new(), sender).unwrap();
        let socket = dir.path().join("demo.sock");
        let answer = tokio::task::spawn_blocking(move || {
            let mut stream = UnixStream::connect(socket).unwrap();
            writeln!(stream, "make it rain").unwrap();
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line).unwrap();
            line
        });
        assert!(answer.await.unwrap().contains("this is no order"));
    }
}
