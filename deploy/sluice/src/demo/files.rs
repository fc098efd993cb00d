//! What a demo keeps on disk: a directory with the configuration, the log and the data of each process.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use serde_json::json;
use tempfile::TempDir;

use super::{
    args::CONTROL,
    plan::{NodePlan, Plan},
};

/// The directory.
#[derive(Debug)]
pub(super) struct Home {
    dir: PathBuf,
    /// Removed when it is dropped.
    temporary: Option<TempDir>,
    /// Where the socket is: the name of a socket is at most 107 bytes long, whatever the directory that was asked for.
    socket_dir: TempDir,
}

impl Home {
    /// The directory that was asked for, or one that is gone at the end. Nobody but this user may look into either.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn open(asked: Option<&Path>) -> io::Result<Self> {
        let private = fs::Permissions::from_mode(0o700);
        let temporary = || tempfile::Builder::new().prefix(TEMPORARY_PREFIX).permissions(private.clone()).tempdir();
        let socket_dir = temporary()?;
        let Some(dir) = asked else {
            let temporary = temporary()?;
            return Ok(Self { dir: temporary.path().to_owned(), temporary: Some(temporary), socket_dir });
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        Ok(Self { dir: fs::canonicalize(dir)?, temporary: None, socket_dir })
    }

    /// Where the socket for commands is.
    pub(super) fn socket_dir(&self) -> &Path {
        self.socket_dir.path()
    }

    pub(super) fn path(&self) -> &Path {
        &self.dir
    }

    /// Whether it is gone at the end.
    pub(super) fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }

    /// All that is gone at the end.
    pub(super) fn temporary(&self) -> Vec<PathBuf> {
        [Some(&self.socket_dir), self.temporary.as_ref()].into_iter().flatten().map(|dir| dir.path().into()).collect()
    }

    /// The configuration of control or a node.
    pub(super) fn config(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.yaml"))
    }

    /// What control or a node says.
    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.log"))
    }

    /// What control or a node stores.
    pub(super) fn data(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The token for the API that control writes when it starts for the first time.
    pub(super) fn api_token(&self) -> PathBuf {
        self.data(CONTROL).join("bootstrap-token")
    }

    fn join_token(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.token"))
    }

    /// Writes control's file.
    ///
    /// # Errors
    /// The disk refuses.
    pub(super) fn write_control(&self, plan: &Plan) -> io::Result<()> {
        write_private(&self.config(CONTROL), &self.control_yaml(plan))
    }

    /// Writes a node's file and the token that it joins with, should it not be one of the cluster yet.
    ///
    /// # Errors
    /// The disk refuses.
    pub(super) fn write_node(&self, node: &NodePlan, workers: usize, token: &str) -> io::Result<()> {
        write_private(&self.join_token(&node.name), token)?;
        write_private(&self.config(&node.name), &self.node_yaml(node, workers))
    }

    fn control_yaml(&self, plan: &Plan) -> String {
        let Plan { api, push, .. } = plan;
        let data = quoted(&self.data(CONTROL));
        // Who names another address than one of this machine has said that others may look.
        let plaintext = if api.ip().is_loopback() { "" } else { ", allow_plaintext: true" };
        format!(
            "# Written by `sluice demo`.\n\
             control: {{name: {CONTROL}, cluster: demo, data: {data}}}\n\
             store: {{kind: embedded}}\n\
             nodes: {{bind: \"{push}\"}}\n\
             http: {{bind: \"{api}\"{plaintext}}}\n"
        )
    }

    fn node_yaml(&self, node: &NodePlan, workers: usize) -> String {
        let NodePlan { name, region, mqtt, admin, home, face, entrance, .. } = node;
        let (data, token) = (quoted(&self.data(name)), quoted(&self.join_token(name)));
        format!(
            "# Written by `sluice demo`.\n\
             node: {{name: {name}, data: {data}}}\n\
             listeners:\n\
             \x20 - {{bind: \"{mqtt}\", allow_anonymous: true}}\n\
             admin: {{bind: \"{admin}\"}}\n\
             workers: {workers}\n\
             cluster:\n\
             \x20 control: {{endpoints: [\"https://{entrance}\"], token: {token}}}\n\
             \x20 labels: {{region: \"{region}\"}}\n\
             \x20 reference: [\"mqtt://{mqtt}\"]\n\
             \x20 # Other nodes come through the relay of the demo, which is the network between the regions.\n\
             \x20 peers: {{bind: \"{home}\", advertise: \"{face}\"}}\n\
             shutdown: {{drain_timeout: 2s}}\n"
        )
    }
}

/// Removes what a demo left behind that was killed. Only a directory that a demo made, and only one of this user.
pub(super) fn remove_left_behind(dir: &Path) {
    let is_ours = dir.parent() == Some(&std::env::temp_dir())
        && dir.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(TEMPORARY_PREFIX));
    if is_ours {
        // It may be gone, or be somebody else's: then it stays.
        let _ = fs::remove_dir_all(dir);
    }
}

/// A path as a text of YAML, of which JSON is a part.
fn quoted(path: &Path) -> String {
    json!(path.display().to_string()).to_string()
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    use io::Write as _;
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600).open(path)?.write_all(text.as_bytes())
}

pub(super) const TEMPORARY_PREFIX: &str = "sluice-demo-";

#[cfg(test)]
mod tests {
    use sluice_dataplane_server::config::NodeConfig;

    use super::{super::plan::tests::planned, *};

    #[test]
    fn a_node_takes_the_file_that_is_written_for_it() {
        let home = Home::open(None).unwrap();
        let plan = planned("--regions eu:1,us:1 --mqtt-port 0 --api 127.0.0.1:0").unwrap();
        let node = &plan.nodes[1];
        home.write_node(node, 2, "secret").unwrap();
        let config = NodeConfig::load(&home.config("us1")).unwrap();
        assert_eq!(config.name(), "us1");
        assert_eq!(config.cluster.labels["region"], "us");
        assert_eq!(config.cluster.reference, [format!("mqtt://{}", node.mqtt)]);
        assert_eq!(config.cluster.peers.bind, node.home);
        assert_eq!(config.cluster.peers.advertise, Some(node.face.to_string()));
        let control = config.cluster.control.unwrap();
        assert_eq!(control.endpoints, [format!("https://{}", node.entrance)]);
        assert_eq!(fs::read_to_string(control.token.unwrap()).unwrap(), "secret");
    }

    #[test]
    fn nobody_else_may_look_and_what_is_temporary_is_gone_at_the_end() {
        let parent = tempfile::tempdir().unwrap();
        let kept = parent.path().join("kept");
        drop(Home::open(Some(&kept)).unwrap());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&kept), 0o700);
        let home = Home::open(None).unwrap();
        home.write_control(&planned("--mqtt-port 0 --api 127.0.0.1:0").unwrap()).unwrap();
        assert_eq!((mode(home.path()), mode(&home.config(CONTROL))), (0o700, 0o600));
        let path = home.path().to_owned();
        drop(home);
        assert!(!path.exists());
    }

    #[test]
    fn only_what_a_demo_left_is_removed() {
        let other = tempfile::tempdir().unwrap();
        remove_left_behind(other.path());
        assert!(other.path().exists());
        let left = tempfile::Builder::new().prefix(TEMPORARY_PREFIX).tempdir().unwrap().keep();
        remove_left_behind(&left);
        assert!(!left.exists());
    }
}
