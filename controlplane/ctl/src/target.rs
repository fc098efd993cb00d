//! Which cluster is meant, and who asks it: by flags, the environment, or a context, in this order.
//!
//! A token of a context goes to the servers of that context and to no others: who names a server names a token too.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use crate::{
    cli::Connection,
    contexts::{Context, Contexts},
    failure::{Exit, Failure},
};

/// Whom to ask, and as who.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Target {
    /// The replicas, such as `http://127.0.0.1:7080`, without a slash at the end; one at least.
    pub servers: Vec<String>,
    /// Who asks.
    pub token: Option<String>,
    /// The file with the certificates of the authority.
    pub ca: Option<PathBuf>,
}

/// The variables of the environment that this program knows, but for those that every program knows.
pub const VARIABLES: [&str; 5] = ["SLUICE_SERVER", "SLUICE_TOKEN", "SLUICE_TOKEN_FILE", "SLUICE_CA", "SLUICE_CONTEXT"];

/// What flags or the environment say.
#[derive(Default)]
struct Said {
    server: Option<String>,
    token: Option<String>,
    token_file: Option<PathBuf>,
    ca: Option<PathBuf>,
}

impl Said {
    fn by_environment(environment: &dyn Fn(&str) -> Option<String>) -> Self {
        let named = |name| environment(name).filter(|value| !value.is_empty());
        Self {
            server: named("SLUICE_SERVER"),
            token: named("SLUICE_TOKEN"),
            token_file: named("SLUICE_TOKEN_FILE").map(PathBuf::from),
            ca: named("SLUICE_CA").map(PathBuf::from),
        }
    }

    fn by_context(context: &Context) -> Self {
        Self {
            server: Some(context.server.clone()),
            token: context.token.clone(),
            token_file: context.token_file.clone(),
            ca: context.ca.clone(),
        }
    }

    /// This, and what `other` says where this says nothing.
    fn or(self, other: Self) -> Self {
        let (token, token_file) = match (self.token, self.token_file) {
            (None, None) => (other.token, other.token_file),
            said => said,
        };
        Self { server: self.server.or(other.server), token, token_file, ca: self.ca.or(other.ca) }
    }
}

/// What to ask.
///
/// # Errors
/// Something that is named does not exist or cannot be.
pub fn resolve(
    flags: &Connection,
    environment: &dyn Fn(&str) -> Option<String>,
    contexts: &Contexts,
    read: &dyn Fn(&Path) -> Result<String, Failure>,
) -> Result<Target, Failure> {
    let by_flags = Said {
        server: flags.server.clone(),
        token: flags.token.clone(),
        token_file: flags.token_file.clone(),
        ca: flags.ca.clone(),
    };
    let by_environment = Said::by_environment(environment);
    let named = environment("SLUICE_CONTEXT").filter(|name| !name.is_empty());
    let said = match (&flags.context, named, &contexts.current) {
        // It stands for all that the environment says.
        (Some(name), ..) => by_flags.or(Said::by_context(contexts.named(name)?)),
        (None, ..) if by_flags.server.is_some() || by_environment.server.is_some() => by_flags.or(by_environment),
        (None, Some(name), _) => by_flags.or(by_environment).or(Said::by_context(contexts.named(&name)?)),
        (None, None, Some(name)) => by_flags.or(by_environment).or(Said::by_context(contexts.named(name)?)),
        (None, None, None) => by_flags.or(by_environment),
    };
    let token = match (said.token, said.token_file) {
        (Some(token), _) => Some(token),
        (None, Some(path)) => Some(read(&path)?),
        (None, None) => None,
    };
    let servers = said.server.as_deref().unwrap_or(SERVER);
    let servers = servers.split(',').map(server).collect::<Result<Vec<_>, _>>()?;
    Ok(Target { servers, token: token.map(checked).transpose()?, ca: said.ca })
}

/// A server as it is asked.
fn server(text: &str) -> Result<String, Failure> {
    let text = text.trim().trim_end_matches('/');
    let wrong = |why: &str| {
        Err(Failure::usage(format!("'{text}' is no server"))
            .because(why.to_owned())
            .fix("name control's HTTP interface, such as https://control1.example.com:7080"))
    };
    let Some((scheme, authority)) = text.split_once("://") else {
        return wrong("it begins with no http:// or https://");
    };
    match (scheme, authority) {
        ("http" | "https", "") => wrong("it names no host"),
        ("http" | "https", authority) if authority.contains(['/', '?', '#', '@', ' ']) => {
            wrong("it has more than a host and a port")
        }
        ("http" | "https", _) => Ok(text.to_owned()),
        _ => wrong("it is neither http nor https"),
    }
}

/// A token that can stand in a header.
fn checked(token: String) -> Result<String, Failure> {
    let token = token.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure::new(Exit::Config, "the token is none")
            .because("it is empty, or has characters that no token has")
            .fix("a token looks like slc_ID_SECRET: is this the right file?"));
    }
    Ok(token.to_owned())
}

impl Target {
    /// Whether its token would go over a network as it is.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        let is_local = |authority: &str| {
            let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host).trim_matches(['[', ']']);
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        };
        let plain = self.servers.iter().filter_map(|server| server.strip_prefix("http://"));
        self.token.is_some() && plain.into_iter().any(|host| !is_local(host))
    }
}

/// Where control listens unless its file says otherwise.
const SERVER: &str = "http://127.0.0.1:7080";

#[cfg(test)]
mod tests;
