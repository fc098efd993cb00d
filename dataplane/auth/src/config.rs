//! The entries of `auth.chain` in a node's configuration.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One step of the authentication chain. Exactly one of the keys is set.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StepConfig {
    /// User names with passwords, or with SCRAM-SHA-256, from a password file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<PasswordConfig>,
    /// JSON Web Tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt: Option<JwtConfig>,
    /// The name in the client's TLS certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateConfig>,
}

/// The `password` step.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordConfig {
    /// The password file.
    pub file: PathBuf,
    /// Who may be able to read the file: `owner`, `group` or `any`.
    #[serde(default)]
    pub permissions: FilePermissions,
    /// Groups that every user of this file is in.
    #[serde(default)]
    pub groups: Vec<String>,
}

/// The `jwt` step. One of `secret_file`, `public_key_file` and `jwks_file` is set.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JwtConfig {
    /// The only algorithms that a token may be signed with.
    pub algorithms: Vec<JwtAlgorithm>,
    /// The shared secret for HS256, HS384 and HS512; one line break at its end is not part of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// The issuer's public key or certificate in PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key_file: Option<PathBuf>,
    /// The issuer's JSON Web Key Set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_file: Option<PathBuf>,
    /// Who may be able to read the secret or key set: `owner`, `group` or `any`. A `public_key_file` is not checked.
    #[serde(default)]
    pub permissions: FilePermissions,
    /// Where in CONNECT the token stands: `password` or `username`.
    #[serde(default)]
    pub token: TokenPlace,
    /// What the claim `iss` must be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// What the claim `aud` must be or contain. Without it, a token that has the claim is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// Whether a token without the claim `exp` is refused.
    #[serde(default = "yes")]
    pub require_expiry: bool,
    /// How far clocks may differ, in seconds.
    #[serde(default = "leeway_seconds")]
    pub leeway_seconds: u32,
    /// The claim that is the user name.
    #[serde(default = "username_claim")]
    pub username_claim: String,
    /// The claim that the client id must be equal to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id_claim: Option<String>,
    /// The claim that lists the client's groups.
    #[serde(default = "groups_claim")]
    pub groups_claim: String,
    /// The claim that lists the topic filters the client may publish to.
    #[serde(default = "publish_claim")]
    pub publish_claim: String,
    /// The claim that lists the topic filters the client may subscribe to.
    #[serde(default = "subscribe_claim")]
    pub subscribe_claim: String,
    /// Groups that every client with such a token is in.
    #[serde(default)]
    pub groups: Vec<String>,
}

/// The `certificate` step.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CertificateConfig {
    /// Which name is the user name: `common_name`, `dns`, `uri` or `email`.
    pub identity: CertificateIdentity,
    /// Groups that every client with such a certificate is in.
    pub groups: Vec<String>,
}

/// Who may be able to read a file with secrets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FilePermissions {
    /// Only its owner: mode 0600 or 0400.
    #[default]
    Owner,
    /// Its owner, and its group for reading: mode 0640 or 0440.
    Group,
    /// Anybody; not checked.
    Any,
}

/// Where a token stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenPlace {
    /// In the password of CONNECT.
    #[default]
    Password,
    /// In the user name of CONNECT.
    Username,
}

/// A name in a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CertificateIdentity {
    /// The common name of the subject.
    #[default]
    CommonName,
    /// The DNS name among the subject's alternative names.
    Dns,
    /// The URI among the subject's alternative names, such as a SPIFFE id.
    Uri,
    /// The e-mail address among the subject's alternative names.
    Email,
}

/// A signature algorithm of RFC 7518 or RFC 8037. `none` does not exist here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, Serialize, JsonSchema)]
pub enum JwtAlgorithm {
    /// HMAC with SHA-256.
    HS256,
    /// HMAC with SHA-384.
    HS384,
    /// HMAC with SHA-512.
    HS512,
    /// RSA PKCS #1 v1.5 with SHA-256.
    RS256,
    /// RSA PKCS #1 v1.5 with SHA-384.
    RS384,
    /// RSA PKCS #1 v1.5 with SHA-512.
    RS512,
    /// RSA PSS with SHA-256.
    PS256,
    /// RSA PSS with SHA-384.
    PS384,
    /// RSA PSS with SHA-512.
    PS512,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// ECDSA on P-384 with SHA-384.
    ES384,
    /// Ed25519.
    EdDSA,
}

fn yes() -> bool {
    true
}

fn leeway_seconds() -> u32 {
    30
}

fn username_claim() -> String {
    "sub".to_owned()
}

fn groups_claim() -> String {
    "groups".to_owned()
}

fn publish_claim() -> String {
    "publish".to_owned()
}

fn subscribe_claim() -> String {
    "subscribe".to_owned()
}
