//! Who the client is: the question to the checker, its answers, and the exchange of AUTH packets.

use std::sync::Arc;

use sluice_dataplane_access::{Principal, Rules};
use sluice_mqtt::{Auth, Connect, ReasonCode, UserProperties, encode};

use super::{Worker, dispatch::Flow};
use crate::{
    AuthRequest, ConnId, Now, Output, Verdict,
    auth::{Accepted, Enhanced, Step},
    connection::Phase,
    message::MessageRef,
    session::Will,
    stats::{BadInput, Closed},
};

impl Worker {
    /// Asks the checker about a CONNECT, unless everybody may come in here.
    pub(super) fn ask_or_accept(&mut self, now: Now, id: ConnId, connect: &Connect<'_>) -> Flow {
        let Some(conn) = self.conns.peek(id) else { return Flow::Closed };
        let listener = conn.opened.listener;
        let settings = self.settings.listeners.get(usize::from(listener));
        let anonymous = settings.is_some_and(|l| l.allow_anonymous && !l.identity_as_username);
        let method = connect.properties.auth_method;
        let shows = connect.username.is_some() || connect.password.is_some() || method.is_some();
        let ask = !anonymous || (self.settings.has_authentication && (shows || conn.opened.certificate.is_some()));
        if !ask {
            if method.is_some() {
                return self.refuse_connect(now, id, ReasonCode::BadAuthenticationMethod);
            }
            return self.accept(now, id, &Accepted::default());
        }
        let request = AuthRequest {
            listener,
            peer: conn.opened.peer,
            client_id: conn.connecting.as_ref().map_or_else(|| Arc::from(""), |c| Arc::clone(&c.client_id)),
            username: connect.username.map(Into::into),
            password: connect.password.map(Into::into),
            certificate: conn.opened.certificate.clone(),
            enhanced: method.map(|method| Enhanced {
                method: method.into(),
                data: connect.properties.auth_data.unwrap_or_default().into(),
                step: Step::Connect,
            }),
        };
        self.ask(id, request);
        Flow::Pause
    }

    fn ask(&mut self, id: ConnId, request: AuthRequest) {
        if let Some(connecting) = self.conns.at(id).and_then(|conn| conn.connecting.as_mut()) {
            connecting.asked = true;
        }
        self.outputs.push_back(Output::Authenticate { conn: id, request: Box::new(request) });
    }

    /// The checker's answer.
    pub(super) fn on_verdict(&mut self, now: Now, id: ConnId, verdict: Verdict) {
        let Some(conn) = self.conns.at(id) else { return };
        match conn.phase {
            Phase::Authenticating => {}
            Phase::Attached => return self.on_reauthentication_verdict(now, id, verdict),
            Phase::Fresh | Phase::Attaching | Phase::Closing => return,
        }
        if let Some(connecting) = conn.connecting.as_mut() {
            connecting.asked = false;
        }
        match verdict {
            Verdict::Accept(accepted) => {
                self.accept(now, id, &accepted);
            }
            Verdict::Continue(data) => {
                self.write_auth(id, ReasonCode::ContinueAuthentication, Some(&data));
                self.resume(id);
            }
            Verdict::Reject(reason) => {
                self.stats.denied[0] += 1;
                self.refuse_connect(now, id, reason);
            }
        }
    }

    fn write_auth(&mut self, id: ConnId, reason: ReasonCode, data: Option<&[u8]>) {
        let Some(conn) = self.conns.peek(id) else { return };
        let of_connect = conn.connecting.as_ref().and_then(|c| c.auth_method.clone());
        let method = of_connect.or_else(|| conn.rare.as_ref().and_then(|rare| rare.auth_method.clone()));
        let auth = Auth {
            reason,
            method: method.as_deref(),
            data,
            reason_string: None,
            user_properties: UserProperties::EMPTY,
        };
        self.write(id, |out, _| encode::auth(out, &auth));
    }

    /// AUTH while CONNECT waits for its answer.
    pub(super) fn on_auth_connecting(&mut self, now: Now, id: ConnId, auth: &Auth<'_>) -> Flow {
        let Some(conn) = self.conns.peek(id) else { return Flow::Closed };
        let method = conn.connecting.as_ref().and_then(|c| c.auth_method.as_deref());
        if method.is_none() || method != auth.method || auth.reason != ReasonCode::ContinueAuthentication {
            self.count_bad(BadInput::Protocol);
            return self.refuse_connect(now, id, ReasonCode::ProtocolError);
        }
        let request = self.enhanced_request(id, auth, Step::Continue);
        self.ask(id, request);
        Flow::Pause
    }

    fn enhanced_request(&self, id: ConnId, auth: &Auth<'_>, step: Step) -> AuthRequest {
        let conn = self.conns.peek(id);
        let (client_id, peer) = self.name_of(id);
        AuthRequest {
            listener: conn.map_or(0, |c| c.opened.listener),
            peer,
            client_id,
            username: None,
            password: None,
            certificate: conn.and_then(|c| c.opened.certificate.clone()),
            enhanced: Some(Enhanced {
                method: auth.method.unwrap_or_default().into(),
                data: auth.data.unwrap_or_default().into(),
                step,
            }),
        }
    }

    /// AUTH of a connected client: it authenticates again by the method it came with [MQTT-4.12.1-1].
    pub(super) fn on_auth_attached(&mut self, now: Now, id: ConnId, auth: &Auth<'_>) -> Flow {
        let Some(conn) = self.conns.at(id) else { return Flow::Closed };
        let rare =
            conn.rare.as_mut().filter(|rare| rare.auth_method.is_some() && rare.auth_method.as_deref() == auth.method);
        let step = match (rare, auth.reason) {
            (Some(rare), ReasonCode::ReAuthenticate) if !rare.reauthenticating => {
                rare.reauthenticating = true;
                Step::Again
            }
            (Some(rare), ReasonCode::ContinueAuthentication) if rare.reauthenticating => Step::Continue,
            _ => {
                self.count_bad(BadInput::Protocol);
                self.disconnect(now, id, ReasonCode::ProtocolError, Closed::ProtocolError);
                return Flow::Closed;
            }
        };
        let request = self.enhanced_request(id, auth, step);
        self.outputs.push_back(Output::Authenticate { conn: id, request: Box::new(request) });
        Flow::Next
    }

    fn on_reauthentication_verdict(&mut self, now: Now, id: ConnId, verdict: Verdict) {
        let Some(conn) = self.conns.peek(id) else { return };
        if conn.rare.as_ref().is_none_or(|rare| !rare.reauthenticating) {
            return;
        }
        let principal = conn.session.and_then(|s| self.sessions.peek(s)).map(|s| Arc::clone(&s.principal));
        let client_id = principal.as_ref().map(|principal| Arc::clone(principal.client_id())).unwrap_or_default();
        let verdict = match verdict {
            Verdict::Accept(accepted) => match self.still_accepted(id, &client_id, &accepted) {
                Some(accepted) => Verdict::Accept(Box::new(accepted)),
                None => Verdict::Reject(ReasonCode::NotAuthorized),
            },
            verdict @ (Verdict::Continue(_) | Verdict::Reject(_)) => verdict,
        };
        match verdict {
            Verdict::Continue(data) => self.write_auth(id, ReasonCode::ContinueAuthentication, Some(&data)),
            Verdict::Accept(accepted) if principal.is_some_and(|p| p.username() == accepted.username.as_ref()) => {
                self.renew_principal(id, &accepted);
                self.write_auth(id, ReasonCode::Success, accepted.data.as_deref());
                if let Some(rare) = self.conns.at(id).and_then(|conn| conn.rare.as_mut()) {
                    rare.reauthenticating = false;
                    rare.expires_wall_ms = accepted.expires_wall_ms.unwrap_or(0);
                }
            }
            // A session keeps its principal (I11).
            Verdict::Accept(_) => self.disconnect(now, id, ReasonCode::NotAuthorized, Closed::NotAuthorized),
            Verdict::Reject(reason) => self.disconnect(now, id, reason, Closed::NotAuthenticated),
        }
    }

    /// The same user with the groups and the scope of its new credentials.
    fn renew_principal(&mut self, id: ConnId, accepted: &Accepted) {
        let Some(conn) = self.conns.at(id) else { return };
        conn.grounds = accepted.grounds;
        let Some(place) = conn.session else { return };
        if let Some(session) = self.sessions.at(place) {
            session.principal = Arc::new(principal_of(session.client_id(), accepted));
        }
        self.check_subscriptions(place);
    }

    /// The client is who it says: may it connect as this, with this will?
    pub(super) fn accept(&mut self, now: Now, id: ConnId, accepted: &Accepted) -> Flow {
        let connecting = self.conns.peek(id).and_then(|conn| conn.connecting.as_ref());
        let Some(client_id) = connecting.map(|connecting| Arc::clone(&connecting.client_id)) else {
            return Flow::Closed;
        };
        let Some(accepted) = self.still_accepted(id, &client_id, accepted) else {
            self.stats.denied[0] += 1;
            return self.refuse_connect(now, id, ReasonCode::NotAuthorized);
        };
        let Some(conn) = self.conns.at(id) else { return Flow::Closed };
        conn.grounds = accepted.grounds;
        let Some(connecting) = conn.connecting.as_mut() else { return Flow::Closed };
        connecting.auth_data = accepted.data.clone();
        let principal = principal_of(&client_id, &accepted);
        let will_allowed = connecting.will.as_ref().is_none_or(|will| allows_will(&self.rules, &principal, will));
        if !will_allowed {
            self.stats.denied[0] += 1;
            return self.refuse_connect(now, id, ReasonCode::NotAuthorized);
        }
        let other = self.by_client.get(&client_id).and_then(|&s| self.sessions.peek(s));
        let held_by = self.claims.user_of(&client_id);
        if other.is_some_and(|session| session.principal.username() != principal.username())
            || held_by.is_some_and(|user| principal.username().map_or("", |name| &**name) != user)
        {
            // The session is another principal's: it stays untouched (BAD_INPUT C18, A10).
            self.stats.denied[0] += 1;
            return self.refuse_connect(now, id, ReasonCode::NotAuthorized);
        }
        if let Some(flow) = self.steer(now, id) {
            return flow;
        }
        self.claim_and_attach(now, id, Arc::new(principal), accepted.expires_wall_ms)
    }
}

fn principal_of(client_id: &Arc<str>, accepted: &Accepted) -> Principal {
    Principal::new(Arc::clone(client_id))
        .with_username(accepted.username.clone())
        .with_groups(accepted.groups.clone())
        .with_superuser(accepted.superuser)
        .with_scope(accepted.scope.clone())
}

/// Whether a principal may leave this will (BAD_INPUT W1).
pub(super) fn allows_will(rules: &Rules, principal: &Principal, will: &Will) -> bool {
    MessageRef::decode(&will.message).is_some_and(|m| rules.publish(principal, m.topic, m.qos.bits(), m.retain).allowed)
}
