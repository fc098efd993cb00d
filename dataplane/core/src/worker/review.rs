//! Credentials that changed take effect on clients that are connected (I25).
//!
//! What is in force arrives as an immutable [`Standing`]. Every connection is held against it, some at a time, so that
//! no turn grows with the number of clients. It is kept, because an answer of the checker may be on its way that was
//! found in what was in force before.

use std::sync::Arc;

use sluice_dataplane_access::Principal;
use sluice_mqtt::ReasonCode;

use super::Worker;
use crate::{
    ConnId, Now,
    auth::{Accepted, Live, Review, Standing},
    connection::Phase,
    stats::Closed,
    timers::Timer,
};

/// What is in force, and who is still to be held against it.
#[derive(Default)]
pub(super) struct Reviews {
    standing: Option<Arc<dyn Standing>>,
    left: Vec<ConnId>,
}

impl Worker {
    /// Takes what is in force from here on.
    pub(super) fn on_standing(&mut self, now: Now, standing: Arc<dyn Standing>) {
        let under_way = !self.reviews.left.is_empty();
        self.reviews.standing = Some(standing);
        self.reviews.left = self.conns.ids();
        if !under_way {
            self.review_some(now);
        }
    }

    /// Reviews the next connections.
    pub(super) fn review_some(&mut self, now: Now) {
        let Some(standing) = self.reviews.standing.clone() else { return };
        let rest = self.reviews.left.len().saturating_sub(REVIEWS_PER_TURN);
        for id in self.reviews.left.split_off(rest) {
            self.review(now, id, &*standing);
        }
        if rest > 0 {
            self.timers.set(now.mono_ms + REVIEW_PAUSE_MS, Timer::Review);
        }
    }

    fn review(&mut self, now: Now, id: ConnId, standing: &dyn Standing) {
        let Some(conn) = self.conns.peek(id) else { return };
        // One whose credentials are yet to be checked is reviewed with the answer.
        if !matches!(conn.phase, Phase::Attaching | Phase::Attached) {
            return;
        }
        let Some((place, session)) = conn.session.and_then(|place| Some((place, self.sessions.peek(place)?))) else {
            return;
        };
        let principal = Arc::clone(&session.principal);
        let live = Live {
            listener: conn.opened.listener,
            client_id: principal.client_id(),
            username: principal.username().map(|name| &**name),
            grounds: conn.grounds,
            certificate: conn.opened.certificate.as_deref(),
        };
        match standing.review(&live) {
            Review::Stands => {}
            Review::Renewed { groups, superuser } => self.renew_rights(place, &principal, groups, superuser),
            Review::Gone => {
                self.stats.denied[0] += 1;
                self.disconnect(now, id, ReasonCode::NotAuthorized, Closed::NotAuthorized);
            }
        }
    }

    fn renew_rights(&mut self, place: u32, old: &Principal, groups: Vec<Arc<str>>, superuser: bool) {
        if old.groups() == groups && old.is_superuser() == superuser {
            return;
        }
        let renewed = old.clone().with_groups(groups).with_superuser(superuser);
        if let Some(session) = self.sessions.at(place) {
            session.principal = Arc::new(renewed);
        }
        self.check_subscriptions(place);
    }

    /// What the checker found, held against what is in force. `None` = it does not hold any more.
    pub(super) fn still_accepted(&self, id: ConnId, client_id: &str, accepted: &Accepted) -> Option<Accepted> {
        let mut accepted = accepted.clone();
        let (Some(standing), Some(conn)) = (&self.reviews.standing, self.conns.peek(id)) else { return Some(accepted) };
        let live = Live {
            listener: conn.opened.listener,
            client_id,
            username: accepted.username.as_deref(),
            grounds: accepted.grounds,
            certificate: conn.opened.certificate.as_deref(),
        };
        match standing.review(&live) {
            Review::Stands => Some(accepted),
            Review::Renewed { groups, superuser } => {
                (accepted.groups, accepted.superuser) = (groups, superuser);
                Some(accepted)
            }
            Review::Gone => None,
        }
    }
}

/// A review takes up to ten microseconds, where a certificate has to be read: a turn lasts two milliseconds at most.
const REVIEWS_PER_TURN: usize = 256;
/// With as much time for everything else, 100,000 connections of one worker are reviewed in one second.
const REVIEW_PAUSE_MS: u64 = 2;
