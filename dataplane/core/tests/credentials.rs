//! Credentials that change while clients are connected.

mod broker;

use std::sync::Arc;

use sluice_dataplane_core::{
    Input, Settings,
    auth::{Live, Review, Standing},
};
use sluice_mqtt::Version;

use broker::{Broker, connect};

/// In force: nobody whose client id begins with this.
#[derive(Debug)]
struct Without(&'static str);

impl Standing for Without {
    fn review(&self, live: &Live<'_>) -> Review {
        if live.client_id.starts_with(self.0) { Review::Gone } else { Review::Stands }
    }
}

fn change(broker: &mut Broker, without: &'static str) {
    let standing: Arc<dyn Standing> = Arc::new(Without(without));
    broker.tell_all(&Input::CredentialsChanged(standing));
    broker.settle();
}

#[test]
fn i25_all_clients_are_reviewed_within_the_bound_and_only_some_in_one_turn() {
    let mut broker = Broker::new(1, Settings::default());
    let ids: Vec<String> = (0..2000).map(|n| format!("{}-{n}", if n % 2 == 0 { "gone" } else { "kept" })).collect();
    let clients: Vec<_> = ids.iter().map(|id| broker.connect(&connect(Version::V5, id, true)).0).collect();
    change(&mut broker, "gone");
    let open = |broker: &Broker| clients.iter().filter(|client| broker.is_open(**client)).count();
    assert!(open(&broker) > 1500, "one turn is bounded");
    broker.pass_ms(1000);
    assert_eq!(open(&broker), 1000);
    assert_eq!(broker.read(clients[0]).last().map(String::as_str), Some("disconnect not_authorized"));
}

#[test]
fn i25_a_client_that_connects_after_the_change_is_held_against_what_is_in_force() {
    let mut broker = Broker::new(2, Settings::default());
    change(&mut broker, "gone");
    let refused = broker.begin_connect(&connect(Version::V5, "gone-1", true));
    broker.settle();
    assert!(!broker.is_open(refused));
    change(&mut broker, "nobody");
    let (client, _) = broker.connect(&connect(Version::V5, "gone-1", true));
    assert!(broker.is_open(client));
}
