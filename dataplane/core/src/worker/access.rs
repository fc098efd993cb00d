//! New access rules take effect on sessions that already exist (I25).

use std::sync::Arc;

use sluice_dataplane_access::Rules;
use sluice_topic::ParsedFilter;

use super::Worker;
use crate::{Event, Now, Output};

impl Worker {
    /// Takes new rules: subscriptions that they no longer allow end at once. Publishing and wills are checked against
    /// them when they happen.
    pub(super) fn on_rules(&mut self, now: Now, rules: Arc<Rules>) {
        let _ = now;
        self.rules = rules;
        let places: Vec<u32> = self.sessions.iter().map(|(place, _)| place).collect();
        for place in places {
            self.check_subscriptions(place);
        }
    }

    /// Takes away the subscriptions of a session that the rules do not allow.
    pub(super) fn check_subscriptions(&mut self, place: u32) {
        let Some(session) = self.sessions.peek(place) else { return };
        let principal = Arc::clone(&session.principal);
        if self.rules.is_open(&principal) {
            return;
        }
        let refused: Vec<Box<str>> = session
            .subscriptions
            .iter()
            .filter(|s| {
                ParsedFilter::parse(&s.filter, &self.topic_limits).is_ok_and(|parsed| {
                    let group = parsed.group.as_deref();
                    !self.rules.subscribe(&principal, parsed.filter.as_str(), s.options.qos(), group).allowed
                })
            })
            .map(|s| s.filter.clone())
            .collect();
        for filter in refused {
            self.stats.denied[2] += 1;
            self.remove_subscription(place, &filter);
            let client_id = Arc::clone(principal.client_id());
            self.outputs.push_back(Output::Log(Event::Denied { client_id, action: "subscribe", topic: filter }));
        }
    }
}
