//! Tokens of the interface, and who asks.

use serde::Deserialize;
use serde_json::Value;

use super::{Items, read};
use crate::{
    failure::Failure,
    output::{Column, Part, Shown, Table},
};

#[derive(Deserialize, Default)]
#[serde(default)]
struct Token {
    id: String,
    name: String,
    role: String,
    created_at: String,
    expires_at: Option<String>,
}

/// A token that was just made: the only time that it is shown.
#[derive(Deserialize)]
pub struct Fresh {
    /// Its secret text.
    pub token: String,
    /// What to revoke it by; a join token has none.
    #[serde(default)]
    pub id: Option<String>,
    /// Until when it can be used.
    #[serde(default)]
    pub expires_at: Option<String>,
}

/// Who may use the interface.
///
/// # Errors
/// The answer is something else.
pub fn list(value: Value) -> Result<Shown, Failure> {
    let tokens: Items<Token> = read(&value)?;
    let columns = ["ID", "NAME", "ROLE", "EXPIRES"].map(Column::text);
    let mut table = Table::new(&[columns.as_slice(), &[Column::text("CREATED").wide()]].concat());
    for token in tokens.items {
        let expires = token.expires_at.unwrap_or_else(|| "never".into());
        table.row(vec![token.id.into(), token.name.into(), token.role.into(), expires.into(), token.created_at.into()]);
    }
    Ok(Shown::table(value, table))
}

/// Who asks.
///
/// # Errors
/// The answer is something else.
pub fn whoami(value: Value) -> Result<Shown, Failure> {
    let Token { id, name, role, .. } = read(&value)?;
    let fields = vec![("name", name.into()), ("role", role.into()), ("id", id.into())];
    Ok(Shown::new(value, vec![Part::Fields(fields)]))
}
