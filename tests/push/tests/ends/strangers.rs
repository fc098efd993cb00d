//! Whoever is not who it says it is gets nothing.

use std::{fs, sync::Arc, time::Duration};

use sluice_cluster::NodeId;
use sluice_dataplane_server::control::NodeIdentity;
use sluice_discovery::ResourceType;
use sluice_proto::push::v1 as pb;
use sluice_proto_service::push::v1::push_client::PushClient;
use sluice_tests_push::{Control, TestNode, eventually, tables};
use tonic::{Code, Status, codegen::tokio_stream};

#[test]
fn a_node_takes_no_tables_from_control_of_another_authority() {
    let (control, other) = (Control::new(), Control::new());
    let (replica, impostor) = (control.start(), other.start());
    let mut node = TestNode::join(&[replica.address()], &control.token()).unwrap();
    other.publish(ResourceType::Nodes, tables::nodes(&[NodeId(1)]));
    node.start(&[impostor.address()]);
    eventually("the node says why", || {
        node.status().trouble.is_some_and(|trouble| trouble.contains("invalid peer certificate"))
    });
    assert!(node.seen().nodes.is_none() && other.connections() == 0);
}

#[test]
fn control_lets_no_node_of_another_authority_in() {
    let (control, other) = (Control::new(), Control::new());
    let (replica, elsewhere) = (control.start(), other.start());
    let stranger = TestNode::join(&[elsewhere.address()], &other.token()).unwrap();
    // It trusts this control, and shows what the other authority has signed.
    let member = TestNode::join(&[replica.address()], &control.token()).unwrap();
    fs::copy(member.folder().join("authorities.pem"), stranger.folder().join("authorities.pem")).unwrap();
    let mut stranger = stranger;
    stranger.start(&[replica.address()]);
    eventually("it is refused", || stranger.status().trouble.is_some());
    assert_eq!((control.connections(), stranger.status().streams), (0, 0));
}

#[test]
fn a_node_is_who_its_certificate_says() {
    let control = Control::new();
    let replica = control.start();
    let node = TestNode::join(&[replica.address()], &control.token()).unwrap();
    let identity = NodeIdentity::load(node.folder()).unwrap().unwrap();
    let says_another = ask(&replica.address(), &identity, true, NodeId(node.id().0 ^ 1));
    assert_eq!(says_another.code(), Code::PermissionDenied, "{says_another:?}");
    let without = ask(&replica.address(), &identity, false, node.id());
    assert_eq!(without.code(), Code::Unauthenticated, "{without:?}");
    assert_eq!(control.connections(), 0);
}

/// Opens a stream as somebody and says Hello as somebody.
fn ask(endpoint: &sluice_cluster::Address, identity: &NodeIdentity, shows: bool, says: NodeId) -> Status {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let hello = pb::Up { frame: Some(pb::up::Frame::Hello(pb::Hello { node: says.0, held: Vec::new() })) };
    let ask = async {
        let channel =
            sluice_dataplane_server::control::connect(endpoint.clone(), identity, shows, Duration::from_secs(5)).await;
        let mut client = PushClient::new(channel.unwrap());
        let up = tokio_stream::StreamExt::chain(tokio_stream::iter([hello]), tokio_stream::pending());
        match client.stream(up).await {
            Err(status) => status,
            Ok(down) => down.into_inner().message().await.unwrap_err(),
        }
    };
    runtime.block_on(ask)
}

#[test]
fn a_removed_node_gets_no_fresh_certificate_and_a_member_does() {
    let control = Control::new();
    let replica = control.start();
    let node = TestNode::join(&[replica.address()], &control.token()).unwrap();
    let identity = Arc::new(NodeIdentity::load(node.folder()).unwrap().unwrap());
    let settings =
        sluice_dataplane_server::control::ControlSettings::new(vec![replica.address()], node.folder().to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let renew = || runtime.block_on(sluice_dataplane_server::control::renew(&settings, &replica.address(), &identity));
    let before = fs::read(node.folder().join("certificate.pem")).unwrap();
    assert_eq!(renew().unwrap().node(), node.id());
    assert_ne!(fs::read(node.folder().join("certificate.pem")).unwrap(), before);
    control.remove(node.id());
    let refused = renew().unwrap_err().to_string();
    assert!(refused.contains("is not a member any more"), "{refused}");
}
