//! Sessions of browsers: what a token is exchanged for, so that no script and no page ever holds the token.
//!
//! A session is `ID.UNTIL.MAC`: the token's id, when it ends, and a code over both and the token's hash, with a key that
//! all replicas derive from the cluster's authority. So no replica keeps a session, each knows those of the others, also
//! after a restart; and a session ends with its token.

use ring::hmac;

use super::{Access, Caller, TokenRow, is_equal};
use crate::{Authority, control::hex};

/// Seals and opens sessions.
#[derive(Clone)]
pub(crate) struct Sessions(hmac::Key);

impl Sessions {
    pub(crate) fn new(authority: &Authority) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &authority.secret("sessions of browsers")))
    }

    /// A session of whoever has a token, until a time in milliseconds since 1970. `None` if the token is gone meanwhile.
    pub(crate) fn seal(&self, access: &Access, caller: &Caller, until_ms: u64) -> Option<String> {
        let tokens = access.tokens();
        let mac = self.mac(&caller.id, tokens.get(&caller.id)?, until_ms);
        Some(format!("{}.{until_ms}.{mac}", caller.id))
    }

    /// Who has a session, with the role that the token has at this moment.
    pub(crate) fn open(&self, access: &Access, text: &str, now_ms: u64) -> Option<Caller> {
        let mut parts = text.split('.');
        let (id, until_ms, mac) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
        let tokens = access.tokens();
        let row = tokens.get(id)?;
        let is_ours = is_equal(self.mac(id, row, until_ms).as_bytes(), mac.as_bytes());
        (is_ours && parts.next().is_none() && now_ms < until_ms && row.is_valid(now_ms)).then(|| row.caller(id))
    }

    /// Ids have no dot, so that no two sessions have the same.
    fn mac(&self, id: &str, row: &TokenRow, until_ms: u64) -> String {
        hex(hmac::sign(&self.0, format!("{id}.{until_ms}.{}", row.hash).as_bytes()).as_ref())
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use sluice_controlplane_store::Memory;

    use super::*;
    use crate::{CERTIFICATE_LIFETIME_MIN, MemoryAuthority, Role};

    async fn authority(kept: &MemoryAuthority) -> Authority {
        Authority::open(kept, "c", CERTIFICATE_LIFETIME_MIN).await.unwrap()
    }

    #[tokio::test]
    async fn a_session_ends_with_its_time_and_with_its_token_and_outlives_the_replica() {
        let kept = MemoryAuthority::default();
        let access = Access::follow(Arc::new(Memory::default()));
        let (id, _) = access.create("anna", Role::Operator, None).await.unwrap();
        let wait = |there: bool| {
            let (access, id) = (access.clone(), id.clone());
            async move {
                while access.tokens().contains_key(&id) != there {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        };
        wait(true).await;
        let anna = Caller { id: id.clone(), name: "anna".into(), role: Role::Operator };
        let session = Sessions::new(&authority(&kept).await).seal(&access, &anna, 1_000).unwrap();
        let later = Sessions::new(&authority(&kept).await);
        assert_eq!(later.open(&access, &session, 999), Some(anna));
        assert_eq!(later.open(&access, &session, 1_000), None);
        let stranger = Sessions::new(&authority(&MemoryAuthority::default()).await);
        assert_eq!(stranger.open(&access, &session, 999), None, "of another cluster");
        for wrong in
            [session.replace(".1000.", ".9000."), format!("{session}."), session[..9].to_owned(), String::new()]
        {
            assert_eq!(later.open(&access, &wrong, 999), None, "{wrong}");
        }
        access.revoke(&id).await.unwrap();
        wait(false).await;
        assert_eq!(later.open(&access, &session, 999), None);
    }
}
