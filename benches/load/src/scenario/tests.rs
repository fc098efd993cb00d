//! The workloads against the bare forwarder, over real sockets.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread;

use super::connect::Connect;
use super::open_loop::OpenLoop;
use super::throughput::{Filters, Shape, Throughput};
use super::*;

const TIMING: Timing = Timing { warm_up: Duration::from_millis(50), measure: Duration::from_millis(200) };

/// A forwarder on a port of its own, for as long as the test process lives.
fn forwarder() -> Target {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    drop(listener);
    thread::spawn(move || crate::forwarder::serve(address).unwrap());
    while TcpStream::connect(address).is_err() {
        thread::sleep(Duration::from_millis(1));
    }
    Target::single(address, None, None)
}

fn closed(shape: Shape, qos: u8) -> Throughput {
    Throughput { shape, window: 20, qos, payload_len: 64, persistent: false, filters: None }
}

#[test]
fn a_closed_loop_delivers_at_every_qos_and_loses_nothing() {
    for shape in [Shape::Pairs(4), Shape::FanIn(8), Shape::FanOut(8)] {
        for qos in 0..=2 {
            let outcome = closed(shape, qos).run(&forwarder(), TIMING).unwrap();
            assert!(outcome.figure(Metric::DeliveriesPerSecond).unwrap() > 1_000.0, "{shape:?} at QoS {qos}");
            assert_eq!(outcome.figure(Metric::Lost), Some(0.0), "{shape:?} at QoS {qos}");
            assert_eq!(outcome.figure(Metric::AckP50).is_some(), qos > 0, "{shape:?} at QoS {qos}");
        }
    }
}

#[test]
fn filters_of_others_do_not_get_in_the_way() {
    let workload = Throughput { filters: Some(Filters::Plus(2_000)), ..closed(Shape::Pairs(2), 0) };
    assert!(workload.run(&forwarder(), TIMING).unwrap().figure(Metric::DeliveriesPerSecond).is_some());
}

#[test]
fn an_open_loop_keeps_its_rate() {
    let workload = OpenLoop { pairs: 4, rate: 2_000, qos: 1, payload_len: 64 };
    let outcome = workload.run(&forwarder(), Timing { measure: Duration::from_millis(500), ..TIMING }).unwrap();
    let rate = outcome.figure(Metric::DeliveriesPerSecond).unwrap();
    assert!((1_000.0..4_000.0).contains(&rate), "{rate}");
    assert_eq!(outcome.figure(Metric::Lost), Some(0.0));
}

#[test]
fn connections_are_accepted_one_after_the_other() {
    let outcome = Connect { parallel: 4 }.run(&forwarder(), TIMING).unwrap();
    assert!(outcome.figure(Metric::ConnectsPerSecond).unwrap() > 100.0);
}

#[test]
fn what_a_broker_refuses_is_an_error_that_says_so() {
    let shared = closed(Shape::Shared { publishers: 2, members: 2 }, 1);
    let error = format!("{:#}", shared.run(&forwarder(), TIMING).unwrap_err());
    assert!(error.contains("refused a subscription"), "{error}");
    let persistent = Throughput { persistent: true, ..closed(Shape::Pairs(2), 1) };
    let error = format!("{:#}", persistent.run(&forwarder(), TIMING).unwrap_err());
    assert!(error.contains("refused the connection with return code 3"), "{error}");
}
