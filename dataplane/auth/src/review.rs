//! Whether what a client was accepted on still holds, after files have changed.
//!
//! A client's credentials are not kept, so they cannot be checked again. What is kept is a fingerprint of what they were
//! checked against: a line of a password file, or an issuer's key. Certificates are reviewed where TLS is.

use std::{num::NonZeroU64, sync::Arc};

use ring::digest;

use crate::{
    Chain,
    chain::Step,
    credentials::{Identity, Method},
    password::join_groups,
};

/// The outcome of a review.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Review {
    /// Nothing has changed for the client.
    Stands,
    /// It stays, with the rights that its line gives.
    Renewed {
        /// The groups that access rules may name.
        groups: Vec<Arc<str>>,
        /// Whether access rules are skipped.
        superuser: bool,
    },
    /// What it was accepted on is gone, or does not allow its client id any more.
    Gone,
}

impl Chain {
    /// Reviews a client by its [`Identity::grounds`]. Computes no hash, and looks into memory only.
    pub fn review(&self, username: Option<&str>, client_id: &str, grounds: Option<NonZeroU64>) -> Review {
        let Some(grounds) = grounds else { return Review::Stands };
        let of_line = self.steps().iter().find_map(|step| of_line(step, username?, grounds));
        if let Some(identity) = of_line {
            let prefix = identity.client_id_prefix.as_deref();
            if prefix.is_some_and(|prefix| !client_id.starts_with(prefix)) {
                return Review::Gone;
            }
            return Review::Renewed { groups: identity.groups, superuser: identity.superuser };
        }
        let keyed = self.steps().iter().any(|step| match step {
            Step::Jwt(step) => step.has_key(grounds),
            Step::Password(_) | Step::Certificate(_) => false,
        });
        if keyed { Review::Stands } else { Review::Gone }
    }
}

/// What a password file says of a user whose credentials have this fingerprint.
fn of_line(step: &Step, username: &str, grounds: NonZeroU64) -> Option<Identity> {
    let Step::Password(step) = step else { return None };
    let mut identity = step.file.identity(username, Method::Password).filter(|it| it.grounds == Some(grounds))?;
    join_groups(&mut identity, &step.groups);
    Some(identity)
}

/// Tells one secret or key from another. Holds nothing of it that could be used.
pub(crate) fn fingerprint(parts: &[&[u8]]) -> NonZeroU64 {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part);
    }
    let digest = context.finish();
    let head = digest.as_ref().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    NonZeroU64::new(head).unwrap_or(NonZeroU64::MIN)
}

#[cfg(test)]
mod tests;
