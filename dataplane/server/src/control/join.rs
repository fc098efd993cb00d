//! Becoming a node, and staying one: certificates from control's authority.

use std::{path::Path, str::FromStr, sync::Arc};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer};
use sluice_cluster::Address;
use sluice_proto::join::v1::{Certified, JoinRequest, RenewRequest};
use sluice_proto_service::join::v1::join_client::JoinClient;
use sluice_service::tls::member::{self, FINGERPRINT_BYTES, Trust, fingerprint};
use tonic::{Code, Status};
use tracing::{info, warn};

use super::backoff::Backoff;
use super::dial::{dial, is_control};
use super::identity::{IdentityError, signing_request};
use super::{ControlSettings, NodeIdentity};

/// What an operator has got for a new node: `slj1`, a secret, and the fingerprint of the cluster's authority, with dots
/// between them.
#[derive(Clone)]
pub struct JoinToken {
    secret: Vec<u8>,
    authority: [u8; FINGERPRINT_BYTES],
}

impl FromStr for JoinToken {
    type Err = JoinError;

    fn from_str(text: &str) -> Result<Self, JoinError> {
        let mut parts = text.trim().split('.');
        let decode = |part: Option<&str>| BASE64_URL_SAFE_NO_PAD.decode(part?).ok();
        let (version, secret) = (parts.next(), decode(parts.next()));
        let authority = decode(parts.next()).and_then(|bytes| bytes.try_into().ok());
        match (version, secret, authority, parts.next()) {
            (Some("slj1"), Some(secret), Some(authority), None) if secret.len() == 32 => Ok(Self { secret, authority }),
            _ => Err(JoinError::Token),
        }
    }
}

impl std::fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JoinToken(hidden)")
    }
}

/// Why a machine has not become a node.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The text is no token.
    #[error("not a join token: it begins with slj1. and has three parts; copy it whole")]
    Token,
    /// Control does not take the token.
    #[error("control refuses: {0}; ask control for another one (POST /api/v1/node-tokens)")]
    Refused(String),
    /// Control has answered with something else than a certificate for this node.
    #[error("what control answered cannot be used: {0}")]
    Answer(String),
    /// The identity cannot be kept.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    /// There is nowhere to go.
    #[error("no endpoint of control is configured")]
    NoEndpoint,
}

/// Exchanges a token for an identity, which is kept in the settings' folder; tries until control answers. A machine that
/// was interrupted may come again with the same token and folder.
///
/// # Errors
/// Control refuses, or the identity cannot be kept.
pub async fn join(settings: &ControlSettings, token: &JoinToken) -> Result<Arc<NodeIdentity>, JoinError> {
    let request = signing_request(&settings.folder)?;
    let trust = Trust::Fingerprint(token.authority);
    let tls = Arc::new(member::client(trust, Box::new(is_control), None, "h2")?);
    let mut backoff = Backoff::new(settings.endpoints.clone(), 0, settings.pause_min, settings.pause_max);
    loop {
        let endpoint = backoff.endpoint().ok_or(JoinError::NoEndpoint)?;
        let sent = JoinRequest { secret: token.secret.clone().into(), request: request.clone().into() };
        let trouble = match ask(&endpoint, &tls, settings, Ask::Join(sent)).await {
            Ok(certified) => {
                let identity = accept(&settings.folder, certified, Some(token))?;
                info!(node = %identity.node(), cluster = identity.cluster(), "this node has joined");
                return Ok(identity);
            }
            Err(status) if is_final(status.code()) => return Err(JoinError::Refused(status.message().into())),
            Err(status) => status,
        };
        warn!(%endpoint, trouble = trouble.message(), "joining: control does not answer, trying again");
        tokio::time::sleep(backoff.failed(None, fastrand::f64())).await;
    }
}

/// Gets a fresh certificate for the same key, which is kept in the settings' folder. [`super::ControlTask`] does so in time.
///
/// # Errors
/// Control is not there or refuses, or the identity cannot be kept.
pub async fn renew(
    settings: &ControlSettings,
    endpoint: &Address,
    identity: &NodeIdentity,
) -> Result<Arc<NodeIdentity>, JoinError> {
    let tls = Arc::new(identity.tls("h2")?);
    let request = RenewRequest { request: signing_request(&settings.folder)?.into() };
    let certified = ask(endpoint, &tls, settings, Ask::Renew(request)).await;
    let certified = certified.map_err(|status| JoinError::Refused(status.message().into()))?;
    let renewed = certified.node;
    if renewed != identity.node().0 {
        return Err(JoinError::Answer(format!("a certificate of node {renewed:016x}")));
    }
    accept(&settings.folder, certified, None)
}

/// What is asked for.
enum Ask {
    Join(JoinRequest),
    Renew(RenewRequest),
}

async fn ask(
    endpoint: &Address,
    tls: &Arc<ClientConfig>,
    settings: &ControlSettings,
    ask: Ask,
) -> Result<Certified, Status> {
    let channel = dial(endpoint.clone(), Arc::clone(tls), settings.connect_max).await;
    let mut client = JoinClient::new(channel.map_err(|error| Status::unavailable(error.to_string()))?);
    let answer = async {
        match ask {
            Ask::Join(request) => client.join(request).await,
            Ask::Renew(request) => client.renew(request).await,
        }
    };
    let answer = tokio::time::timeout(settings.connect_max, answer).await;
    Ok(answer.map_err(|_| Status::unavailable("no answer in time"))??.into_inner())
}

/// Whether asking again would bring the same.
fn is_final(code: Code) -> bool {
    matches!(code, Code::PermissionDenied | Code::InvalidArgument | Code::Unimplemented)
}

fn accept(folder: &Path, certified: Certified, token: Option<&JoinToken>) -> Result<Arc<NodeIdentity>, JoinError> {
    let read = |list: &[bytes::Bytes]| list.iter().map(|der| CertificateDer::from(der.to_vec())).collect::<Vec<_>>();
    let (chain, authorities) = (read(&certified.chain), read(&certified.authorities));
    if chain.is_empty() || chain.len() > CHAIN_MAX || authorities.is_empty() || authorities.len() > CHAIN_MAX {
        return Err(JoinError::Answer("there are no certificates, or too many".into()));
    }
    let is_known = |token: &JoinToken| authorities.iter().any(|authority| fingerprint(authority) == token.authority);
    if token.is_some_and(|token| !is_known(token)) {
        return Err(JoinError::Answer("the authority is not that of the token".into()));
    }
    let mut roots = RootCertStore::empty();
    authorities.iter().try_for_each(|authority| roots.add(authority.clone()))?;
    let identity = NodeIdentity::keep(folder, chain, authorities)?;
    if identity.node().0 != certified.node {
        return Err(JoinError::Answer("the certificate is another node's".into()));
    }
    Ok(identity)
}

/// Certificates between a node and its authority, and authorities: one of each, and some for a time of change.
const CHAIN_MAX: usize = 8;
