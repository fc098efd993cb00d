use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    thread,
};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::listener::Seats;

/// A transport over one end of a pair of sockets with small buffers, and the other end.
fn pair(ws: bool) -> (Transport, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    socket2::SockRef::from(&ours).set_send_buffer_size(4096).unwrap();
    let wire = Wire::Unix(mio::net::UnixStream::from_std(ours));
    let ws = ws.then(|| Box::new(WsSession::new()));
    (Transport::new(wire, None, ws, Seats::new(0, None).take().unwrap()), theirs)
}

/// Writes until everything is gone while the other side reads; gives what arrived.
fn write_all(mut transport: Transport, mut theirs: UnixStream, outboxes: Vec<Outbox>) -> Vec<u8> {
    let reading = thread::spawn(move || {
        let mut arrived = Vec::new();
        theirs.read_to_end(&mut arrived).unwrap();
        arrived
    });
    let mut scratch = Scratch::new();
    for mut outbox in outboxes {
        while transport.write(&mut outbox, &mut scratch).unwrap() == Flush::Blocked {
            thread::yield_now();
        }
        assert!(outbox.is_empty());
    }
    drop(transport);
    reading.join().unwrap()
}

/// The payload of a server's frames.
fn unframe(mut frames: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    while let [0x82, short, rest @ ..] = frames {
        let (length, rest) = match short {
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            127 => (u64::from_be_bytes(rest[..8].try_into().unwrap()) as usize, &rest[8..]),
            short => (usize::from(*short), rest),
        };
        payload.extend_from_slice(&rest[..length]);
        frames = &rest[length..];
    }
    assert!(frames.is_empty(), "a whole number of frames");
    payload
}

/// Runs of bytes, copied (true) or shared, as an outbox and as what it says.
fn outbox(runs: &[(bool, usize)]) -> (Outbox, Vec<u8>) {
    let (mut outbox, mut all) = (Outbox::default(), Vec::new());
    for (n, (copied, length)) in runs.iter().enumerate() {
        let run: Vec<u8> = (0..*length).map(|i| (i * 7 + n) as u8).collect();
        all.extend_from_slice(&run);
        match copied {
            true => outbox.buffer().extend_from_slice(&run),
            false => outbox.share(Bytes::from(run)),
        }
    }
    (outbox, all)
}

#[test]
fn more_shared_runs_than_one_write_takes_arrive_in_order() {
    let runs: Vec<_> = (0..500).map(|n| (n % 2 == 0, 100)).collect();
    let (outbox, all) = outbox(&runs);
    let (transport, theirs) = pair(false);
    assert!(write_all(transport, theirs, vec![outbox]) == all);
}

#[test]
fn an_outbox_that_grows_while_its_frame_is_written_becomes_two_frames() {
    let (mut transport, mut theirs) = pair(true);
    let (mut growing, mut all) = outbox(&[(true, 50_000)]);
    let mut scratch = Scratch::new();
    assert_eq!(transport.write(&mut growing, &mut scratch).unwrap(), Flush::Blocked);
    growing.buffer().extend_from_slice(b"later");
    all.extend_from_slice(b"later");
    let reading = thread::spawn(move || {
        let mut arrived = Vec::new();
        theirs.read_to_end(&mut arrived).unwrap();
        arrived
    });
    while transport.write(&mut growing, &mut scratch).unwrap() == Flush::Blocked {
        thread::yield_now();
    }
    drop(transport);
    assert!(unframe(&reading.join().unwrap()) == all);
}

#[test]
fn a_client_that_pings_and_does_not_read_fills_no_memory() {
    let (mut transport, mut theirs) = pair(true);
    let mut scratch = Scratch::new();
    let ping = [0x89, 0xFD, 0, 0, 0, 0].into_iter().chain([b'x'; 125]).collect::<Vec<u8>>();
    for second in 0..100 {
        for _ in 0..50 {
            theirs.write_all(&ping).unwrap();
            let read = transport.read(&mut scratch, 0, second * 1000);
            assert_eq!(read, Read { bytes: 0, next: Next::Drained });
        }
    }
    let ws = transport.ws.as_ref().unwrap();
    assert!(ws.pending_bytes() < 2048, "{} bytes", ws.pending_bytes());
}

#[test]
fn an_idle_plain_connection_is_small() {
    // 32 in release: mio keeps more of a socket with debug assertions.
    assert!(size_of::<Transport>() <= 48, "{} bytes", size_of::<Transport>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn what_is_written_arrives(
        ws: bool,
        outboxes in prop::collection::vec(prop::collection::vec((any::<bool>(), 1..20_000_usize), 1..8), 1..5),
    ) {
        let (outboxes, all): (Vec<_>, Vec<_>) = outboxes.iter().map(|runs| outbox(runs)).unzip();
        let (transport, theirs) = pair(ws);
        let arrived = write_all(transport, theirs, outboxes);
        let arrived = if ws { unframe(&arrived) } else { arrived };
        prop_assert!(arrived == all.concat());
    }
}
