//! Tokens of the interface itself.

use serde::Deserialize;
use serde_json::json;
use sluice_cluster::Label;

use super::{Call, Problem, Reply, cluster::time};
use crate::{access::Role, control::wall_ms};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    name: String,
    role: Role,
    ttl_s: Option<u64>,
}

impl Call<'_> {
    pub(super) fn tokens(&self) -> Reply {
        let tokens = self.api.access.tokens();
        let row = |(id, row): (&String, &crate::access::TokenRow)| {
            json!({
                "id": id,
                "name": row.name,
                "role": row.role,
                "created_at": time(row.created_ms),
                "expires_at": row.expires_ms.map(time),
            })
        };
        Reply::json(200, &json!({"items": tokens.iter().map(row).collect::<Vec<_>>(), "next_cursor": null}))
    }

    pub(super) async fn make_token(&self) -> Result<Reply, Problem> {
        let Wanted { name, role, ttl_s } = self.body()?;
        Label::parse(&name).map_err(|error| Problem::invalid(error.to_string()))?;
        let expires_ms = ttl_s.map(|ttl_s| wall_ms().saturating_add(ttl_s.saturating_mul(1000)));
        let (id, token) = self.api.access.create(&name, role, expires_ms).await?;
        tracing::info!(by = %self.author().by, name, ?role, "a token was made");
        Ok(Reply::json(201, &json!({"id": id, "token": token, "expires_at": expires_ms.map(time)})))
    }

    pub(super) async fn revoke_token(&self) -> Result<Reply, Problem> {
        let id = self.param(0).to_owned();
        if !self.api.access.revoke(&id).await? {
            return Err(Problem::unknown(format!("token {id}")));
        }
        tracing::info!(by = %self.author().by, id, "a token was revoked");
        Ok(Reply { body: Vec::new(), ..Reply::json(204, &json!(null)) })
    }
}
