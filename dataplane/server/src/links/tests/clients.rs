//! Clients whose session lives on another node.

use std::{
    net::{Shutdown, TcpListener, TcpStream},
    sync::Arc,
    thread,
};

use sluice_dataplane_core::Transport as Kind;

use super::{
    world::{echo, read_exactly, read_to_end, write_all},
    *,
};
use crate::{
    listener::Seats,
    transport::{Transport, Wire},
};

/// A client of `at` whose session lives at `to`: its own end of the socket, and that of the session.
fn client(at: &Node, to: &Node) -> (TcpStream, UnixStream) {
    let near = send_client(at, to.id);
    until("the client has arrived", || !to.shared.board().clients.is_empty());
    let (from, header, socket) = to.shared.board().clients.remove(0);
    assert_eq!((from, &*header.listener, header.transport), (at.id, "tls-1", Kind::Tls));
    assert_eq!(header.address, near.local_addr().ok());
    assert_eq!(header.certificate.as_deref(), Some(&b"DER"[..]));
    socket.set_nonblocking(false).unwrap();
    assert_eq!(read_exactly(&socket, 5), b"early", "what was read before it was sent on");
    (near, socket)
}

fn send_client(at: &Node, to: NodeId) -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (accepted, address) = listener.accept().unwrap();
    accepted.set_nonblocking(true).unwrap();
    let seat = Seats::new(0, None).take().unwrap();
    let transport = Transport::new(Wire::Tcp(mio::net::TcpStream::from_std(accepted)), None, None, seat);
    let certificate = Some(Arc::from(&b"DER"[..]));
    let header = ClientHeader {
        listener: "tls-1".into(),
        allow_anonymous: false,
        identity_as_username: false,
        transport: Kind::Tls,
        address: Some(address),
        certificate,
    };
    at.links.handle().send_client(to, ClientAway { transport, header, bytes: b"early".to_vec() });
    near
}

#[test]
fn clients_reach_their_sessions_from_either_of_two_nodes() {
    let authority = Authority::new();
    let (a, b) = linked(&authority);
    for (at, to) in [(&a, &b), (&b, &a)] {
        let clients: Vec<_> = (0..20).map(|_| client(at, to)).collect();
        clients.iter().for_each(|(near, far)| echo(near, far));
    }
    assert_eq!(a.links.handle().stats()[0].connections, 1, "the link itself is one connection");
}

#[test]
fn an_end_on_one_side_is_an_end_on_the_other_and_what_was_said_before_arrives() {
    let authority = Authority::new();
    let (a, b) = linked(&authority);
    let (near, far) = client(&a, &b);
    write_all(near.try_clone().unwrap(), vec![7; 300_000]);
    assert_eq!(read_exactly(&far, 300_000), vec![7; 300_000]);
    near.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&far).unwrap(), b"");
    write_all(far, vec![8; 300_000]);
    assert_eq!(read_to_end(&near).unwrap(), vec![8; 300_000], "the other direction goes on");

    let (near, far) = client(&a, &b);
    drop(far);
    assert_eq!(read_to_end(&near).unwrap(), b"", "the session is closed");
}

#[test]
fn a_socket_that_fails_and_a_link_that_is_cut_end_the_other_side() {
    let authority = Authority::new();
    let (a, b) = linked(&authority);
    let (near, far) = client(&a, &b);
    socket2::SockRef::from(&near).set_linger(Some(Duration::ZERO)).unwrap();
    drop(near);
    let _ = read_to_end(far);
    let (near, far) = client(&a, &b);
    b.allow(&[]);
    let (_, _) = (read_to_end(near), read_to_end(far));
}

#[test]
fn a_client_whose_node_cannot_be_reached_is_closed() {
    let authority = Authority::new();
    let (a, b) = linked(&authority);
    let (_ok, _far) = client(&a, &b);
    let _ = read_to_end(send_client(&a, NodeId(77)));
    a.allow(&[]);
    let _ = read_to_end(send_client(&a, b.id));
}

#[test]
fn clients_that_do_not_read_hold_up_neither_the_others_nor_the_lanes() {
    let authority = Authority::new();
    let (a, b) = linked(&authority);
    let slow: Vec<_> = (0..8).map(|_| client(&a, &b)).collect();
    for (near, far) in &slow {
        // More than all buffers on the way take.
        write_all(far.try_clone().unwrap(), vec![1; 16 << 20]);
        write_all(near.try_clone().unwrap(), vec![2; 16 << 20]);
    }
    thread::sleep(Duration::from_millis(300));
    let (near, far) = client(&a, &b);
    echo(&near, &far);
    a.send(b.id, b"a message");
    until("it is answered", || a.shared.answered.load(Ordering::Relaxed) == 1);
    let (near, far) = &slow[0];
    assert_eq!(read_exactly(near, 16 << 20), vec![1; 16 << 20]);
    assert_eq!(read_exactly(far, 16 << 20), vec![2; 16 << 20]);
}
