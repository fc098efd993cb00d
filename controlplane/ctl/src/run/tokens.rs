//! Commands about tokens.

use serde_json::json;

use super::{Outcome, Run, change::Change};
use crate::{
    cli::{Output, Token, Write},
    output::{Format, Shown},
    request::Request,
    route::Route,
    view::{read, token},
    world::json,
};

pub(super) fn run(run: &mut Run<'_>, command: Token) -> Outcome {
    match command {
        Token::Ls(look) => run.list(&look, Route::Tokens, token::list),
        Token::Create { name, role, ttl, output } => {
            let mut body = json!({"name": name, "role": role.name()});
            if let Some(ttl) = ttl {
                body["ttl_s"] = json!(ttl.as_secs());
            }
            fresh(run, &Request::to(Route::MakeToken).body(body), &output)
        }
        Token::Revoke { id, write } => revoke(run, &id, &write),
    }
}

pub(super) fn revoke(run: &mut Run<'_>, id: &str, write: &Write) -> Outcome {
    let what = format!("revoke the token {id}: whoever uses it gets in no more");
    let change = Change::destructive(what, Request::to(Route::RevokeToken).named(id));
    run.change(write, change, |value| Ok(Shown::line(value, format!("The token {id} is revoked."))))
}

/// Asks for a token. It alone goes to standard output, so that it can stand in a command line; the rest is chatter.
pub(super) fn fresh(run: &mut Run<'_>, request: &Request, output: &Output) -> Outcome {
    let value = json(run.world, request)?;
    let fresh: token::Fresh = read(&value)?;
    if matches!(output.format, Format::Table | Format::Wide) {
        let id = fresh.id.as_ref().map(|id| format!("id {id}, ")).unwrap_or_default();
        let expires = fresh.expires_at.as_ref().map_or_else(|| "for ever".into(), |at| format!("until {at}"));
        run.world.note(&format!("{id}valid {expires}; it is shown this once"));
    }
    run.put(&Shown::line(value, fresh.token), output)
}
