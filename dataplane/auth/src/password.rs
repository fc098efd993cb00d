//! The password file.
//!
//! One user a line:
//!
//! ```text
//! NAME:CREDENTIAL [CREDENTIAL] [groups=A,B] [clients=PREFIX] [superuser]
//! ```
//!
//! A credential is an argon2id hash in PHC form, or a SCRAM-SHA-256 verifier, or one of each. Empty lines and lines
//! that begin with `#` are skipped. Any other line that is not understood refuses the whole file.

use std::{
    collections::{HashMap, hash_map::Entry},
    num::NonZeroU64,
    sync::Arc,
};

pub use hash::{HashError, hash_password};

use self::{
    hash::{Argon2Hash, Cost},
    line::{Attributes, Line},
};
use crate::{
    credentials::{Identity, Method},
    decoy::NodeSecret,
    scram::{ScramVerifier, Shape},
};

mod hash;
mod line;

/// Users and what is stored of their passwords. Immutable.
#[derive(Clone, Debug)]
pub struct PasswordFile {
    users: HashMap<Box<str>, User>,
    secret: NodeSecret,
    /// What checking each user costs; an unknown user is made to cost the same as some real one.
    costs: Vec<Cost>,
    /// What each SCRAM user's first reply looks like.
    shapes: Vec<Shape>,
}

/// One user.
#[derive(Clone, Debug)]
struct User {
    argon2: Option<Argon2Hash>,
    scram: Option<ScramVerifier>,
    attributes: Attributes,
    grounds: NonZeroU64,
    line: u32,
}

/// What a name and a password amount to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Check {
    Match(Box<Identity>),
    Mismatch,
    /// There is no such user, and nothing was computed.
    Unknown,
}

/// A line that was not understood.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct PasswordFileError {
    /// From 1.
    pub line: u32,
    /// What is wrong; holds nothing of the line but its name.
    pub what: String,
}

impl PasswordFile {
    /// Reads the whole text. `secret` decides what unknown users look like.
    pub fn parse(text: &str, secret: NodeSecret) -> Result<Self, PasswordFileError> {
        let mut users = HashMap::new();
        let (mut costs, mut shapes) = (Vec::new(), Vec::new());
        for (number, text) in (1..).zip(text.lines()) {
            let refused = |what| PasswordFileError { line: number, what };
            let Some(line) = line::parse(text).map_err(refused)? else { continue };
            let grounds = line.fingerprint();
            let Line { name, argon2, scram, attributes, texts: _ } = line;
            let user = User { argon2, scram, attributes, grounds, line: number };
            costs.push(user.cost());
            shapes.extend(user.scram.as_ref().map(ScramVerifier::shape));
            match users.entry(Box::from(name)) {
                Entry::Vacant(vacant) => vacant.insert(user),
                Entry::Occupied(first) => {
                    let what = format!("'{}' has a line already: line {}", first.key(), first.get().line);
                    return Err(refused(what));
                }
            };
        }
        Ok(Self { users, secret, costs, shapes })
    }

    /// Users in the file.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether there is no user.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Checks a password; takes milliseconds where the user exists.
    pub(crate) fn check(&self, name: &str, password: &[u8]) -> Check {
        let Some(user) = self.users.get(name) else { return Check::Unknown };
        if user.verify(password) {
            Check::Match(Box::new(user.identity(name, Method::Password)))
        } else {
            Check::Mismatch
        }
    }

    /// Spends on an unknown user what checking a password of a known one costs.
    pub(crate) fn spend(&self, name: &str, password: &[u8]) {
        self.secret.choose(name, &self.costs).copied().unwrap_or(Cost::DEFAULT).spend(password);
    }

    /// The verifier of a user, and whether there is such a user.
    pub(crate) fn verifier(&self, name: &str) -> (ScramVerifier, bool) {
        let shape = self.secret.choose(name, &self.shapes).copied().unwrap_or(Shape::DEFAULT);
        let decoy = ScramVerifier::decoy(&self.secret, name, shape);
        match self.users.get(name).and_then(|user| user.scram.clone()) {
            Some(verifier) => (verifier, true),
            None => (decoy, false),
        }
    }

    /// Who a user is that has proved itself by `method`.
    pub(crate) fn identity(&self, name: &str, method: Method) -> Option<Identity> {
        self.users.get(name).map(|user| user.identity(name, method))
    }
}

impl User {
    fn verify(&self, password: &[u8]) -> bool {
        match (&self.argon2, &self.scram) {
            (Some(hash), _) => hash.verify(password),
            (None, Some(verifier)) => verifier.verify(password),
            (None, None) => false,
        }
    }

    fn cost(&self) -> Cost {
        match (&self.argon2, &self.scram) {
            (Some(hash), _) => hash.cost(),
            (None, Some(verifier)) => Cost::Pbkdf2 { iterations: verifier.shape().iterations },
            (None, None) => Cost::DEFAULT,
        }
    }

    fn identity(&self, name: &str, method: Method) -> Identity {
        let Attributes { groups, client_id_prefix, superuser } = self.attributes.clone();
        let grounds = Some(self.grounds);
        Identity { groups, client_id_prefix, superuser, grounds, ..Identity::user(name, method) }
    }
}

/// Adds a step's groups to an identity's own.
pub(crate) fn join_groups(identity: &mut Identity, groups: &[Arc<str>]) {
    identity.groups.extend(groups.iter().cloned());
    identity.groups.sort_unstable();
    identity.groups.dedup();
}

#[cfg(test)]
mod tests;
