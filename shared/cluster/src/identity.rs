//! Who a certificate says its holder is: one name in its subject alternative names, a URI.
//!
//! Peer links, the push stream and joining all tell members by it. Addresses and host names play no part: a machine that
//! moves keeps its identity, and a name server is not trusted.

use std::{fmt, str::FromStr};

use crate::NodeId;

/// A member of the cluster, as its certificate names it.
///
/// ```
/// use sluice_cluster::{Identity, NodeId};
///
/// let uri = Identity::Node(NodeId(0xa1)).to_string();
/// assert_eq!(uri, "spiffe://sluice/node/00000000000000a1");
/// assert_eq!(uri.parse(), Ok(Identity::Node(NodeId(0xa1))));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Identity {
    /// A node of the data plane; `spiffe://sluice/node/` and the id as 16 lower-case hexadecimal digits. It is not 0.
    Node(NodeId),
    /// Any replica of the control service: `spiffe://sluice/control`.
    Control,
}

impl Identity {
    /// The node, if it is one.
    #[must_use]
    pub fn node(self) -> Option<NodeId> {
        match self {
            Self::Node(node) => Some(node),
            Self::Control => None,
        }
    }

    /// The one identity among the URIs of a certificate. Names of other systems are passed over; two of ours are none.
    #[must_use]
    pub fn among<'a>(uris: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut found = uris.into_iter().filter(|uri| uri.starts_with(TRUST_DOMAIN));
        let identity = found.next()?.parse().ok()?;
        found.next().is_none().then_some(identity)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => write!(f, "{TRUST_DOMAIN}{NODE}{node}"),
            Self::Control => write!(f, "{TRUST_DOMAIN}{CONTROL}"),
        }
    }
}

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(uri: &str) -> Result<Self, IdentityError> {
        let path = uri.strip_prefix(TRUST_DOMAIN).ok_or(IdentityError)?;
        if path == CONTROL {
            return Ok(Self::Control);
        }
        let digits = path.strip_prefix(NODE).ok_or(IdentityError)?;
        // One spelling only, so that equal identities are equal texts.
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if digits.len() != 16 || !digits.bytes().all(is_digit) {
            return Err(IdentityError);
        }
        let number = u64::from_str_radix(digits, 16).map_err(|_| IdentityError)?;
        if number == 0 { Err(IdentityError) } else { Ok(Self::Node(NodeId(number))) }
    }
}

/// A URI that names no member of a cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not spiffe://sluice/control, nor spiffe://sluice/node/ and an id of 16 hexadecimal digits that is not 0")]
pub struct IdentityError;

const TRUST_DOMAIN: &str = "spiffe://sluice/";
const NODE: &str = "node/";
const CONTROL: &str = "control";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_has_one_spelling() {
        for uri in ["spiffe://sluice/control", "spiffe://sluice/node/00000000000000a1"] {
            assert_eq!(uri.parse::<Identity>().map(|identity| identity.to_string()), Ok(uri.into()));
        }
        for wrong in [
            "spiffe://sluice/node/00000000000000A1",
            "spiffe://sluice/node/a1",
            "spiffe://sluice/node/+0000000000000a1",
            "spiffe://sluice/node/0000000000000000",
            "spiffe://sluice/node/00000000000000a1/x",
            "spiffe://sluice/control/",
            "spiffe://other/node/00000000000000a1",
            "",
        ] {
            assert_eq!(wrong.parse::<Identity>(), Err(IdentityError), "{wrong}");
        }
    }

    #[test]
    fn a_certificate_names_one_member_or_none() {
        let node = "spiffe://sluice/node/0000000000000001";
        assert_eq!(Identity::among(["https://example.com", node]), Some(Identity::Node(NodeId(1))));
        assert_eq!(Identity::among([node, "spiffe://sluice/control"]), None);
        assert_eq!(Identity::among(["spiffe://sluice/node/1", node]), None);
        assert_eq!(Identity::among([]), None);
    }
}
