//! Which certificate a client is shown.

use std::sync::Arc;

use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::certificate::Identity;

/// Certificates by name. Several may be for one name, with keys of different kinds: the client gets the first it can
/// verify. A name that none is for gets the first certificate, as does a client that names none.
#[derive(Debug)]
pub(super) struct ByName(Vec<Identity>);

impl ByName {
    pub(super) fn new(identities: Vec<Identity>) -> Self {
        Self(identities)
    }

    /// All certificates, best first.
    fn candidates(&self, name: Option<&str>) -> impl Iterator<Item = &Identity> {
        let name = name.map(str::to_ascii_lowercase);
        let rank = move |identity: &Identity| match &name {
            Some(name) if identity.names.iter().any(|own| own == name) => 0,
            Some(name) if identity.names.iter().any(|own| wildcard_covers(own, name)) => 1,
            _ => 2,
        };
        (0..=2).flat_map(move |wanted| {
            let rank = rank.clone();
            self.0.iter().filter(move |identity| rank(identity) == wanted)
        })
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let usable = |it: &&Identity| it.certified.key.choose_scheme(hello.signature_schemes()).is_some();
        self.candidates(hello.server_name()).find(usable).map(|it| Arc::clone(&it.certified))
    }
}

/// Whether `*.rest` covers a name: the star stands for exactly one label (RFC 6125, 6.4.3).
fn wildcard_covers(own: &str, name: &str) -> bool {
    let rest = own.strip_prefix("*.");
    rest.is_some_and(|rest| name.split_once('.').is_some_and(|(label, tail)| !label.is_empty() && tail == rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_one_label() {
        assert!(wildcard_covers("*.example.com", "a.example.com"));
        for name in ["example.com", "b.a.example.com", ".example.com", "a.example.org"] {
            assert!(!wildcard_covers("*.example.com", name), "{name}");
        }
        assert!(!wildcard_covers("a.example.com", "a.example.com"), "not a wildcard");
    }
}
