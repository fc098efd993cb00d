//! A machine becomes a node.

use std::{fs, os::unix::fs::PermissionsExt};

use sluice_dataplane_server::control::{JoinError, NodeIdentity};
use sluice_tests_push::{Control, TestNode};

#[test]
fn a_token_makes_one_machine_a_node_and_no_second_one() {
    let control = Control::new();
    let replica = control.start();
    let token = control.token();
    let node = TestNode::join(&[replica.address()], &token).unwrap();
    let second = TestNode::join(&[replica.address()], &token);
    assert!(matches!(second, Err(JoinError::Refused(reason)) if reason == "the token is not valid"));
    let unknown = Control::new().token();
    assert!(!unknown.is_empty() && node.id().0 != 0);
}

#[test]
fn a_machine_whose_answer_was_lost_comes_again_and_is_the_same_node() {
    let control = Control::new();
    let replica = control.start();
    let token = control.token();
    let node = TestNode::join(&[replica.address()], &token).unwrap();
    // The key is there, the certificate is not, as after a crash between request and answer.
    fs::remove_file(node.folder().join("certificate.pem")).unwrap();
    assert!(NodeIdentity::load(node.folder()).unwrap().is_none());
    let again = TestNode::join_in(node.folder(), &[replica.address()], &token).unwrap();
    assert_eq!(again.node(), node.id());
}

#[test]
fn the_identity_is_on_disk_for_its_owner_alone_and_outlives_three_days_without_control() {
    let control = Control::new();
    let replica = control.start();
    let node = TestNode::join(&[replica.address()], &control.token()).unwrap();
    for file in ["key.pem", "certificate.pem", "authorities.pem"] {
        let mode = fs::metadata(node.folder().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let identity = NodeIdentity::load(node.folder()).unwrap().unwrap();
    assert_eq!((identity.node(), identity.cluster()), (node.id(), "test"));
    let renewed_s = identity.renew_at().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let left_s = u64::try_from(identity.expires_s()).unwrap() - renewed_s;
    assert!(left_s >= 72 * 3600, "{left_s} s are left when it is renewed");
}

#[test]
fn a_token_of_another_cluster_shows_its_secret_to_nobody() {
    let (control, other) = (Control::new(), Control::new());
    let replica = control.start();
    let token = other.token();
    let folder = tempfile::tempdir().unwrap();
    let (path, address) = (folder.path().to_owned(), replica.address());
    // It goes on trying to find control that has the right authority.
    let trying = std::thread::spawn(move || {
        let settings = sluice_dataplane_server::control::ControlSettings::new(vec![address], path);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let token = token.parse().unwrap();
            let join = sluice_dataplane_server::control::join(&settings, &token);
            tokio::time::timeout(std::time::Duration::from_secs(1), join).await.is_err()
        })
    });
    assert!(trying.join().unwrap(), "control of another cluster is not asked");
}
