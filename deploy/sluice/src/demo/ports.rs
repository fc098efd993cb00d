//! Free ports of this machine.

use std::{
    collections::BTreeSet,
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
};

/// Finds ports, each once.
#[derive(Debug)]
pub(super) struct Ports {
    next: u16,
    given: BTreeSet<u16>,
}

impl Ports {
    /// `start` decides where the search begins, so that two demos seldom look at the same ports.
    pub(super) fn new(start: u32) -> Self {
        let span = u32::from(LAST - FIRST);
        let offset = u16::try_from(start.wrapping_mul(SPREAD) % span).unwrap_or(0);
        Self { next: FIRST + offset, given: BTreeSet::new() }
    }

    /// A port that is free for TCP and UDP on 127.0.0.1. It stays free as long as nobody asks for exactly this one: the
    /// kernel gives ports of this range to nobody of its own accord.
    ///
    /// # Errors
    /// All are taken.
    pub(super) fn free(&mut self) -> io::Result<u16> {
        for _ in FIRST..LAST {
            let port = self.next;
            self.next = if port + 1 == LAST { FIRST } else { port + 1 };
            let address = local(port);
            if !self.given.contains(&port) && TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
                self.given.insert(port);
                return Ok(port);
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, "no port is free"))
    }

    /// Takes the port that was asked for, or a free one for 0.
    ///
    /// # Errors
    /// It is taken.
    pub(super) fn asked(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        if address.port() == 0 {
            return Ok(SocketAddr::new(address.ip(), self.free()?));
        }
        TcpListener::bind(address)?;
        self.given.insert(address.port());
        Ok(address)
    }
}

/// A port of 127.0.0.1.
pub(super) fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Below the ports that Linux gives to clients, 32,768 to 60,999, and above those that services are known by.
const FIRST: u16 = 20_000;
const LAST: u16 = 32_000;
/// Processes that start one after the other begin far from each other: a prime near the golden section of the range.
const SPREAD: u32 = 7417;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_free_and_given_once() {
        let mut ports = Ports::new(1);
        let mut given = BTreeSet::new();
        for _ in 0..50 {
            let port = ports.free().unwrap();
            assert!(given.insert(port));
            TcpListener::bind(local(port)).unwrap();
        }
    }

    #[test]
    fn the_port_that_was_asked_for_is_taken_or_refused() {
        let taken = TcpListener::bind(local(0)).unwrap();
        let address = taken.local_addr().unwrap();
        assert_eq!(Ports::new(2).asked(address).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(taken);
        assert_eq!(Ports::new(2).asked(address).unwrap(), address);
        assert_ne!(Ports::new(2).asked(local(0)).unwrap().port(), 0);
    }
}
