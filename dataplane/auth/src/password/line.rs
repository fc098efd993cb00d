//! One line of a password file.

use std::{num::NonZeroU64, sync::Arc};

use super::hash::Argon2Hash;
use crate::{
    name::check_name,
    review::fingerprint,
    scram::{METHOD, ScramVerifier},
};

/// What a line says.
#[derive(Debug)]
pub(super) struct Line<'a> {
    pub(super) name: &'a str,
    pub(super) argon2: Option<Argon2Hash>,
    pub(super) scram: Option<ScramVerifier>,
    pub(super) attributes: Attributes,
    /// The hash and the verifier as they stand in the line.
    pub(super) texts: [&'a str; 2],
}

/// What a user is besides its password.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Attributes {
    pub(super) groups: Vec<Arc<str>>,
    pub(super) client_id_prefix: Option<Arc<str>>,
    pub(super) superuser: bool,
}

/// Reads a line; `None` where it says nothing. Messages hold nothing secret.
pub(super) fn parse(text: &str) -> Result<Option<Line<'_>>, String> {
    let text = text.trim_end();
    if text.is_empty() || text.starts_with('#') {
        return Ok(None);
    }
    let (name, fields) = text.split_once(':').ok_or("a line is NAME:CREDENTIAL, and this one has no ':'")?;
    check_name(name).map_err(|error| error.to_string())?;
    if name.trim() != name {
        return Err("the name begins or ends with a space".to_owned());
    }
    let mut line = Line { name, argon2: None, scram: None, attributes: Attributes::default(), texts: [""; 2] };
    for field in fields.split_ascii_whitespace() {
        line.set(field)?;
    }
    if line.argon2.is_none() && line.scram.is_none() {
        return Err(format!("'{name}' has no credential: add an argon2id hash or a {METHOD} verifier"));
    }
    Ok(Some(line))
}

impl<'a> Line<'a> {
    /// Another one when the user's credentials are others.
    pub(super) fn fingerprint(&self) -> NonZeroU64 {
        let [argon2, scram] = self.texts.map(str::as_bytes);
        fingerprint(&[b"password", self.name.as_bytes(), argon2, scram])
    }

    fn set(&mut self, field: &'a str) -> Result<(), String> {
        if field.starts_with("$argon2") {
            let hash = Argon2Hash::parse(field).map_err(|error| error.to_string())?;
            self.texts[0] = field;
            return once(self.argon2.replace(hash).is_some(), "an argon2id hash");
        }
        if field.starts_with(METHOD) {
            let verifier = ScramVerifier::parse(field).map_err(|error| error.to_string())?;
            self.texts[1] = field;
            return once(self.scram.replace(verifier).is_some(), "a SCRAM verifier");
        }
        let attributes = &mut self.attributes;
        match field.split_once('=') {
            Some(("groups", groups)) => once(!attributes.groups.is_empty(), "groups").and_then(|()| {
                attributes.groups = groups.split(',').map(group).collect::<Result<_, _>>()?;
                Ok(())
            }),
            Some(("clients", prefix)) => {
                check_name(prefix).map_err(|error| format!("clients: {error}"))?;
                once(attributes.client_id_prefix.replace(prefix.into()).is_some(), "clients")
            }
            None if field == "superuser" => once(std::mem::replace(&mut attributes.superuser, true), "superuser"),
            Some(_) | None => Err("a field is none of: an argon2id hash ($argon2id$…), a SCRAM verifier \
                                   (SCRAM-SHA-256$…), groups=A,B, clients=PREFIX, superuser"
                .to_owned()),
        }
    }
}

fn group(name: &str) -> Result<Arc<str>, String> {
    check_name(name).map(Into::into).map_err(|error| format!("groups: {error}"))
}

fn once(again: bool, what: &str) -> Result<(), String> {
    if again { Err(format!("{what} stands here a second time")) } else { Ok(()) }
}
