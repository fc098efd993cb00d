//! Control over HTTP: sends requests as they are, to the replica that can answer.

use std::{io::ErrorKind, path::Path, sync::Arc, time::Duration};

use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::Value;
use ureq::{
    Agent, Error, Timeout,
    http::{self, Response},
    tls::{Certificate, RootCerts, TlsConfig},
};

use crate::{
    failure::{Exit, Failure},
    request::{Answer, Request},
    target::Target,
};

/// The replicas of control.
pub struct Control {
    agent: Agent,
    servers: Vec<String>,
    authorization: Option<String>,
    /// The replica that answered last is asked first.
    first: usize,
}

/// Why a replica gave no answer.
struct Silence {
    reason: String,
    /// Whether the request cannot have reached it.
    is_unsent: bool,
    exit: Exit,
}

impl Control {
    /// What will ask the replicas of a target; connects to nobody yet.
    ///
    /// # Errors
    /// The certificates of the authority cannot be read.
    pub fn new(target: &Target, patience: Duration) -> Result<Self, Failure> {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            // A token goes to whom it was meant for, and to no one else.
            .max_redirects(0)
            .proxy(None)
            .timeout_connect(Some(patience.min(CONNECT_MAX)))
            .timeout_global(Some(patience))
            .user_agent(concat!("sluicectl/", env!("CARGO_PKG_VERSION")));
        if target.servers.iter().any(|server| server.starts_with("https://")) {
            config = config.tls_config(tls(target.ca.as_deref())?);
        }
        Ok(Self {
            agent: config.build().new_agent(),
            servers: target.servers.clone(),
            authorization: target.token.as_ref().map(|token| format!("Bearer {token}")),
            first: 0,
        })
    }

    /// Asks the replicas, one after the other, until one of them can answer. What changes something goes to another one only if
    /// it cannot have reached the first.
    ///
    /// # Errors
    /// None of them answers.
    pub fn send(&mut self, request: &Request) -> Result<Answer, Failure> {
        let (mut refused, mut silent) = (None, Vec::new());
        for nth in 0..self.servers.len() {
            let at = (self.first + nth) % self.servers.len();
            match self.ask(&self.servers[at], request) {
                Ok(answer) if another_may(&answer) => refused = Some(answer),
                Ok(answer) => {
                    self.first = at;
                    return Ok(answer);
                }
                Err(silence) => {
                    let may_go_on = silence.is_unsent || request.route.only_reads();
                    silent.push((self.servers[at].clone(), silence));
                    if !may_go_on {
                        break;
                    }
                }
            }
        }
        refused.ok_or_else(|| unreachable_by(&silent))
    }

    fn ask(&self, server: &str, request: &Request) -> Result<Answer, Silence> {
        let method = request.route.method();
        let mut head = http::Request::builder().method(method).uri(format!("{server}{}", request.target()));
        if let Some(authorization) = &self.authorization {
            head = head.header("Authorization", authorization);
        }
        if let Some((name, value)) = request.condition.as_ref().map(|condition| condition.header()) {
            head = head.header(name, value);
        }
        let sent = match &request.body {
            Some(body) => {
                let head = head.header("Content-Type", "application/json").body(body.to_string());
                head.map_err(Error::from).and_then(|request| self.agent.run(request))
            }
            None if ["GET", "DELETE"].contains(&method) => {
                head.body(()).map_err(Error::from).and_then(|request| self.agent.run(request))
            }
            None => head.body(String::new()).map_err(Error::from).and_then(|request| self.agent.run(request)),
        };
        sent.and_then(answer).map_err(|error| Silence::of(&error))
    }
}

/// An answer of which another replica may have a better one.
fn another_may(answer: &Answer) -> bool {
    let code = || serde_json::from_str::<Value>(&answer.text).ok()?.get("code")?.as_str().map(str::to_owned);
    answer.status == 503
        && code()
            .is_some_and(|code| ["control.not_leading", "control.stopping", "store.unread"].contains(&code.as_str()))
}

fn answer(response: Response<ureq::Body>) -> Result<Answer, Error> {
    let (head, mut body) = response.into_parts();
    let etag = head.headers.get("ETag").and_then(|value| value.to_str().ok());
    let etag = etag.and_then(|text| text.trim_start_matches("W/").trim_matches('"').parse().ok());
    let text = body.with_config().limit(ANSWER_BYTES_MAX).read_to_string()?;
    Ok(Answer { status: head.status.as_u16(), etag, text })
}

impl Silence {
    fn of(error: &Error) -> Self {
        let is_tls = matches!(error, Error::Rustls(_) | Error::Tls(_))
            || matches!(error, Error::Io(error) if error.get_ref().is_some_and(|error| error.is::<rustls::Error>()));
        // Whatever is not among these may have been on its way.
        let is_unsent = is_tls
            || matches!(
                error,
                Error::HostNotFound | Error::ConnectionFailed | Error::Timeout(Timeout::Resolve | Timeout::Connect)
            )
            || matches!(error, Error::Io(error) if error.kind() == ErrorKind::ConnectionRefused);
        let exit = if matches!(error, Error::BadUri(_) | Error::Http(_)) { Exit::Usage } else { Exit::Unreachable };
        let reason = if is_tls { format!("TLS: {error}") } else { error.to_string() };
        Self { reason, is_unsent, exit }
    }
}

fn unreachable_by(silent: &[(String, Silence)]) -> Failure {
    let reasons: Vec<String> = silent.iter().map(|(server, silence)| format!("{server}: {}", silence.reason)).collect();
    let exit = silent.first().map_or(Exit::Unreachable, |(_, silence)| silence.exit);
    let is_tls = silent.iter().any(|(_, silence)| silence.reason.starts_with("TLS"));
    let may_be_done = silent.last().is_some_and(|(_, silence)| !silence.is_unsent);
    let fix = if is_tls {
        "name the authority that control's certificate comes from with --ca, and control by a name that its certificate has"
    } else if may_be_done {
        "it may have been done, or not: look before you ask again"
    } else {
        "see whether control runs, and name its HTTP interface with --server, SLUICE_SERVER or a context"
    };
    Failure::new(exit, "control cannot be reached").because(reasons.join("; ")).fix(fix)
}

/// Trust in an authority's certificates alone, or in those that the system trusts.
fn tls(ca: Option<&Path>) -> Result<TlsConfig, Failure> {
    let certificates = match ca {
        Some(path) => from_file(path)?,
        // What of them cannot be read is not trusted; if nothing is left, the handshake says so.
        None => rustls_native_certs::load_native_certs().certs,
    };
    let roots = certificates.iter().map(|certificate| Certificate::from_der(certificate.as_ref()).to_owned());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = RootCerts::Specific(Arc::new(roots.collect()));
    Ok(TlsConfig::builder().root_certs(roots).unversioned_rustls_crypto_provider(provider).build())
}

fn from_file(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let wrong = |why: String| {
        Failure::new(Exit::Config, format!("{} cannot be read", path.display()))
            .because(why)
            .fix("name a file with certificates as PEM")
    };
    let read = CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
    let certificates = read.collect::<Result<Vec<_>, _>>().map_err(|error| wrong(error.to_string()))?;
    if certificates.is_empty() { Err(wrong("there is no certificate in it".into())) } else { Ok(certificates) }
}

const CONNECT_MAX: Duration = Duration::from_secs(5);
/// More than a page of a thousand entries, and than any table of figures.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

#[cfg(test)]
mod tests;
