//! The Join service: a token once, a certificate in return, and its renewal.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use ring::rand::{SecureRandom, SystemRandom};
use rustls_pki_types::CertificateDer;
use sluice_cluster::NodeId;
use sluice_proto::join::v1::{Certified, JoinRequest, RenewRequest};
use sluice_proto_service::join::v1::join_server;
use tonic::{Code, Request, Response, Status};
use tracing::{info, warn};

use crate::authority::{Authority, Request as SigningRequest};
use crate::serve::node_of;
use crate::{SECRET_BYTES, TokenDigest};

/// Who may become a node, and stay one.
#[tonic::async_trait]
pub trait Admission: Send + Sync + 'static {
    /// Redeems a token for the holder of a key, atomically. The first key gets the token, and a new node the id that
    /// `redemption` proposes. The same key gets the same id again until the token expires, since an answer can be lost.
    async fn redeem(&self, redemption: Redemption) -> Result<NodeId, RedeemError>;

    /// Whether a node is still a member, so that its certificate may be renewed.
    async fn is_member(&self, node: NodeId) -> Result<bool, RedeemError>;
}

/// What a machine shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Redemption {
    /// Of the secret.
    pub token: TokenDigest,
    /// Of the public key that the certificate will be for.
    pub key: TokenDigest,
    /// An id that nobody has.
    pub node: NodeId,
    /// Seconds since 1970.
    pub now_s: u64,
}

/// Why a token is not redeemed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RedeemError {
    /// There is no such token, or another machine has used it, or it has expired: which of them, a stranger is not told.
    #[error("the token is not valid")]
    Invalid,
    /// It cannot be told at the moment.
    #[error("{0}")]
    Unavailable(String),
}

/// The service.
#[derive(Debug)]
pub struct Join<A> {
    authority: Arc<Authority>,
    admission: Arc<A>,
}

impl<A: Admission> Join<A> {
    /// A service that certifies whom `admission` lets in.
    #[must_use]
    pub fn new(authority: Arc<Authority>, admission: Arc<A>) -> Self {
        Self { authority, admission }
    }

    fn certified(&self, node: NodeId, request: &SigningRequest) -> Result<Response<Certified>, Status> {
        let certificate = self.authority.certify_node(node, request).map_err(|error| {
            warn!(%node, %error, "a certificate could not be signed");
            Status::internal("the certificate could not be signed")
        })?;
        let bytes = |certificate: &CertificateDer<'_>| bytes::Bytes::copy_from_slice(certificate);
        Ok(Response::new(Certified {
            node: node.0,
            cluster: self.authority.cluster().into(),
            chain: vec![bytes(&certificate)],
            authorities: vec![bytes(self.authority.certificate())],
        }))
    }
}

#[tonic::async_trait]
impl<A: Admission> join_server::Join for Join<A> {
    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<Certified>, Status> {
        let JoinRequest { secret, request } = request.into_inner();
        if secret.len() != SECRET_BYTES {
            return Err(refused(RedeemError::Invalid));
        }
        let request = parse(&request)?;
        let redemption = Redemption {
            token: TokenDigest::of(&secret),
            key: TokenDigest::of(request.key()),
            node: draw_node()?,
            now_s: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        };
        let node = self.admission.redeem(redemption).await.map_err(refused)?;
        info!(%node, token = ?redemption.token, "a node has joined");
        self.certified(node, &request)
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<Certified>, Status> {
        let node = node_of(&request)?;
        let request = parse(&request.into_inner().request)?;
        if !self.admission.is_member(node).await.map_err(refused)? {
            return Err(Status::permission_denied(format!("node {node} is not a member any more")));
        }
        info!(%node, "a node's certificate is renewed");
        self.certified(node, &request)
    }
}

fn parse(request: &[u8]) -> Result<SigningRequest, Status> {
    SigningRequest::parse(request).map_err(|error| Status::invalid_argument(format!("request: {error}")))
}

/// Of 64 random bits no two nodes of any cluster have the same.
fn draw_node() -> Result<NodeId, Status> {
    let mut bytes = [0; 8];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Status::internal("no random numbers"))?;
    Ok(NodeId(u64::from_le_bytes(bytes).max(1)))
}

fn refused(error: RedeemError) -> Status {
    let code = match error {
        RedeemError::Invalid => Code::PermissionDenied,
        RedeemError::Unavailable(_) => Code::Unavailable,
    };
    Status::new(code, error.to_string())
}
