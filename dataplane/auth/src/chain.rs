//! The ordered steps that credentials go through.

use std::sync::Arc;

use crate::{
    certificate::CertificateStep,
    credentials::{Credentials, Identity, Method, Refusal, Verdict},
    jwt::JwtStep,
    password::{Check, PasswordFile, join_groups},
    scram::{self, NONCE_BYTES, ScramServer},
};

/// Steps in order. Immutable: a change of files makes a new chain.
///
/// The first step that finds credentials of its kind decides. A step that finds none (no certificate, no token, a user
/// name that is not in its file) leaves them to the next. What no step accepts is refused.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Password(PasswordStep),
    Jwt(Box<JwtStep>),
    Certificate(CertificateStep),
}

/// The `password` step.
#[derive(Clone, Debug)]
pub(crate) struct PasswordStep {
    pub(crate) file: Arc<PasswordFile>,
    pub(crate) groups: Vec<Arc<str>>,
}

/// Enhanced authentication that waits for the client.
#[derive(Clone, Debug)]
pub struct Exchange {
    server: ScramServer,
    step: PasswordStep,
    client_id: Box<str>,
    bound_to: Option<Box<str>>,
}

/// Where enhanced authentication stands.
#[derive(Clone, Debug)]
pub enum Progress {
    /// It is over.
    Done(Verdict),
    /// Send the data, and hand what comes back to [`Exchange::finish`].
    Continue {
        /// Authentication Data for the client.
        data: Vec<u8>,
        /// What waits.
        exchange: Box<Exchange>,
    },
}

impl Chain {
    pub(crate) fn new(steps: Vec<Step>) -> Self {
        Self { steps }
    }

    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether there is no step: only anonymous clients can be let in.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Decides on a client without enhanced authentication. Takes milliseconds where a password has to be hashed.
    ///
    /// `now_ms` is the wall clock in milliseconds since the Unix epoch.
    pub fn check(&self, credentials: &Credentials<'_>, now_ms: u64) -> Verdict {
        if credentials.identity_as_username {
            return self.certified(credentials);
        }
        let mut unspent = None;
        for step in &self.steps {
            let result = match step {
                Step::Certificate(step) => step.check(credentials),
                Step::Jwt(step) => step.check(credentials, now_ms),
                Step::Password(step) => step.check(credentials, &mut unspent),
            };
            match result {
                None => {}
                Some(Ok(identity)) => return conclude(identity, credentials.client_id, credentials.bound_to),
                Some(Err(refusal)) => return refuse(refusal, unspent, credentials),
            }
        }
        let shown = credentials.username.is_some() || credentials.password.is_some();
        if credentials.allow_anonymous && (!shown || self.is_empty()) {
            return conclude(Identity::anonymous(Method::Anonymous), credentials.client_id, credentials.bound_to);
        }
        refuse(if shown { Refusal::Bad } else { Refusal::Missing }, unspent, credentials)
    }

    /// Decides by the certificate alone, as the first certificate step reads it; by its common name where there is none.
    fn certified(&self, credentials: &Credentials<'_>) -> Verdict {
        let by_default = CertificateStep::default();
        let step = self.steps.iter().find_map(Step::certificate).unwrap_or(&by_default);
        match step.check(credentials) {
            Some(Ok(identity)) => conclude(identity, credentials.client_id, credentials.bound_to),
            Some(Err(refusal)) => Verdict::Reject(refusal),
            None => Verdict::Reject(Refusal::Missing),
        }
    }

    /// Begins enhanced authentication with what came in CONNECT, or in the AUTH packet of a re-authentication.
    ///
    /// `nonce` is fresh and random. The only method is SCRAM-SHA-256, served by the first password step that knows the
    /// user (the first of all where none does).
    pub fn begin(
        &self,
        method: &str,
        data: &[u8],
        credentials: &Credentials<'_>,
        nonce: &[u8; NONCE_BYTES],
    ) -> Progress {
        let steps: Vec<&PasswordStep> = self.steps.iter().filter_map(Step::password).collect();
        let Some(first) = steps.first().filter(|_| method == scram::METHOD) else {
            return Progress::Done(Verdict::Reject(Refusal::Method));
        };
        let certified = credentials.identity_as_username.then(|| self.certified(credentials));
        let bound_to: Option<Box<str>> = match &certified {
            None => credentials.bound_to.map(Into::into),
            Some(Verdict::Accept(identity)) => identity.username.as_deref().map(Into::into),
            Some(refused) => return Progress::Done(refused.clone()),
        };
        let mut serving = *first;
        let begun = ScramServer::begin(data, nonce, |name| {
            let found = steps.iter().map(|step| (*step, step.file.verifier(name))).find(|(_, (_, known))| *known);
            let (step, verifier) = found.unwrap_or_else(|| (*first, first.file.verifier(name)));
            serving = step;
            verifier
        });
        match begun {
            Ok((server, data)) => {
                let client_id = credentials.client_id.into();
                Progress::Continue {
                    data,
                    exchange: Box::new(Exchange { server, step: serving.clone(), client_id, bound_to }),
                }
            }
            Err(_) => Progress::Done(Verdict::Reject(Refusal::Bad)),
        }
    }
}

impl Exchange {
    /// The user name that the client gave; not proved yet.
    pub fn username(&self) -> &str {
        self.server.username()
    }

    /// Ends the exchange with the client's answer.
    pub fn finish(self, data: &[u8]) -> Verdict {
        let Self { server, step, client_id, bound_to } = self;
        let identity = step.file.identity(server.username(), Method::Scram);
        match (server.finish(data), identity) {
            (Ok(data), Some(mut identity)) => {
                identity.data = Some(data);
                join_groups(&mut identity, &step.groups);
                conclude(identity, &client_id, bound_to.as_deref())
            }
            (Ok(_) | Err(_), _) => Verdict::Reject(Refusal::Bad),
        }
    }
}

impl Step {
    fn password(&self) -> Option<&PasswordStep> {
        match self {
            Self::Password(step) => Some(step),
            Self::Jwt(_) | Self::Certificate(_) => None,
        }
    }

    fn certificate(&self) -> Option<&CertificateStep> {
        match self {
            Self::Certificate(step) => Some(step),
            Self::Jwt(_) | Self::Password(_) => None,
        }
    }
}

impl PasswordStep {
    /// `unspent` is left with the file that owes the time which a known user's check would have taken.
    fn check<'s>(
        &'s self,
        credentials: &Credentials<'_>,
        unspent: &mut Option<&'s PasswordFile>,
    ) -> Option<Result<Identity, Refusal>> {
        let (name, password) = (credentials.username?, credentials.password?);
        match self.file.check(name, password) {
            Check::Match(mut identity) => {
                join_groups(&mut identity, &self.groups);
                Some(Ok(*identity))
            }
            Check::Mismatch => Some(Err(Refusal::Bad)),
            Check::Unknown => {
                unspent.get_or_insert(&self.file);
                None
            }
        }
    }
}

/// The last checks, which hold for all steps.
fn conclude(identity: Identity, client_id: &str, bound_to: Option<&str>) -> Verdict {
    if bound_to.is_some() && identity.username.as_deref() != bound_to {
        return Verdict::Reject(Refusal::OtherIdentity);
    }
    if identity.client_id_prefix.as_deref().is_some_and(|prefix| !client_id.starts_with(prefix)) {
        return Verdict::Reject(Refusal::ClientId);
    }
    Verdict::Accept(Box::new(identity))
}

/// Refuses an unknown user after the time that a known one would have taken.
fn refuse(refusal: Refusal, unspent: Option<&PasswordFile>, credentials: &Credentials<'_>) -> Verdict {
    if let (Some(file), Some(name)) = (unspent, credentials.username) {
        file.spend(name, credentials.password.unwrap_or_default());
    }
    Verdict::Reject(refusal)
}

#[cfg(test)]
mod tests;
