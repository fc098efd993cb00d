//! What stands in for a user that does not exist, so that nobody can tell.

use ring::hmac;

/// A secret of this node's own (or of all nodes of a cluster): it decides what an unknown user looks like. Keep it
/// across restarts and file changes, since a real user's salt stays the same too.
#[derive(Clone)]
pub struct NodeSecret(hmac::Key);

impl NodeSecret {
    /// From 32 random bytes.
    pub fn new(bytes: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// 32 bytes that look random and belong to `name` and `purpose`.
    pub(crate) fn derive(&self, purpose: &'static str, name: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(purpose.as_bytes());
        context.update(&[0]);
        context.update(name.as_bytes());
        let tag = context.sign();
        let mut bytes = [0; 32];
        bytes.copy_from_slice(tag.as_ref());
        bytes
    }

    /// The element of `shapes` that an unknown `name` takes after; real users' shapes are as frequent among unknown ones.
    pub(crate) fn choose<'s, S>(&self, name: &str, shapes: &'s [S]) -> Option<&'s S> {
        let [a, b, c, d, e, f, g, h, ..] = self.derive("shape", name);
        let number = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        let count = u64::try_from(shapes.len()).ok().filter(|count| *count > 0)?;
        shapes.get(usize::try_from(number % count).ok()?)
    }
}

impl std::fmt::Debug for NodeSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NodeSecret")
    }
}
