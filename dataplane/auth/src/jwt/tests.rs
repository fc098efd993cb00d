use proptest::prelude::*;
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use serde_json::{Value, json};

use super::{key::KeyError, *};

const SECRET: &[u8] = b"thirty-two bytes are the minimum";
const NOW_MS: u64 = 1_800_000_000_000;
const NOW_S: u64 = NOW_MS / 1000;

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn token(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let signed = format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
    let signature = sign(signed.as_bytes());
    format!("{signed}.{}", encode(&signature))
}

fn hs256(secret: &[u8]) -> impl Fn(&[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    move |message| hmac::sign(&key, message).as_ref().to_vec()
}

fn config(algorithms: &[JwtAlgorithm]) -> JwtConfig {
    let names: Vec<&str> = algorithms.iter().map(|algorithm| name(*algorithm)).collect();
    serde_json::from_value(json!({ "algorithms": names })).unwrap()
}

fn step(change: impl FnOnce(&mut JwtConfig)) -> JwtStep {
    let mut config = config(&[JwtAlgorithm::HS256]);
    change(&mut config);
    let keys = KeySet::from_secret(SECRET, &config.algorithms).unwrap();
    JwtStep::new(config, keys)
}

fn check(step: &JwtStep, token: &str) -> Option<Result<Identity, Refusal>> {
    let credentials = Credentials { client_id: "c1", password: Some(token.as_bytes()), ..Credentials::default() };
    step.check(&credentials, NOW_MS)
}

/// The verdict on a genuine token with these claims besides `sub` and `exp`.
fn with_claims(step: &JwtStep, claims: Value) -> Result<Identity, Refusal> {
    let mut all = json!({ "sub": "alice", "exp": NOW_S + 60 });
    for (name, value) in claims.as_object().unwrap() {
        let all = all.as_object_mut().unwrap();
        if value.is_null() {
            all.remove(name)
        } else {
            all.insert(name.clone(), value.clone())
        };
    }
    check(step, &token(&json!({ "alg": "HS256" }), &all, hs256(SECRET))).unwrap()
}

#[test]
fn a_genuine_token_names_the_user_and_the_end_of_its_session() {
    let identity = with_claims(&step(|_| {}), json!({})).unwrap();
    assert_eq!(identity.username.as_deref(), Some("alice"));
    assert_eq!(identity.expires_at_ms, Some(NOW_MS + 60_000 + 30_000), "with the leeway");
    assert_eq!(identity.method, Method::Jwt);
    assert!(identity.scope.is_none() && !identity.superuser);
}

#[test]
fn what_does_not_look_like_a_token_is_left_to_other_steps() {
    let step = step(|_| {});
    for password in ["", "secret", "a.b", "a.b.c", "a.b.c.d", "e30.e30.e30", &"a".repeat(20_000)] {
        assert!(check(&step, password).is_none(), "{password}");
    }
    assert!(step.check(&Credentials::default(), NOW_MS).is_none());
}

#[test]
fn h_api_a_token_without_signature_or_with_another_algorithm_is_refused() {
    let (step, claims) = (step(|_| {}), json!({ "sub": "alice", "exp": NOW_S + 60 }));
    for algorithm in ["none", "None", "NONE", "", "HS512", "RS256", "hs256"] {
        let unsigned = token(&json!({ "alg": algorithm }), &claims, |_| Vec::new());
        assert_eq!(check(&step, &unsigned), Some(Err(Refusal::Bad)), "{algorithm}");
        let signed = token(&json!({ "alg": algorithm }), &claims, hs256(SECRET));
        assert_eq!(check(&step, &signed), Some(Err(Refusal::Bad)), "{algorithm}");
    }
}

#[test]
fn a_header_that_is_no_json_in_utf8_is_refused_wherever_that_shows() {
    let sign = |header: &[u8]| {
        let claims = json!({ "sub": "alice", "exp": NOW_S + 60 }).to_string();
        let signed = format!("{}.{}", encode(header), encode(claims.as_bytes()));
        format!("{signed}.{}", encode(&hs256(SECRET)(signed.as_bytes())))
    };
    let step = step(|_| {});
    assert!(check(&step, &sign(br#"{"alg":"HS256","typ":"JWT"}"#)).unwrap().is_ok());
    let bad: [&[u8]; 3] = [
        b"{\"alg\":\"HS256\",\"typ\":\"\xCAWT\"}",
        br#"{"alg":"HS256","typ":"\ud800"}"#,
        br#"{"alg":"HS256","typ":1e999}"#,
    ];
    for header in bad {
        assert!(check(&step, &sign(header)).is_none(), "{}", header.escape_ascii());
    }
}

#[test]
fn h_api_a_public_key_is_never_taken_for_a_shared_secret() {
    let pem = include_bytes!("../../testdata/rsa.pub.pem");
    let claims = json!({ "sub": "alice", "exp": NOW_S + 60 });
    let forged = token(&json!({ "alg": "HS256" }), &claims, hs256(pem));
    for algorithms in [&[JwtAlgorithm::RS256][..], &[JwtAlgorithm::RS256, JwtAlgorithm::HS256]] {
        let keys = KeySet::from_pem(pem, algorithms).unwrap();
        let step = JwtStep::new(config(algorithms), keys);
        assert_eq!(check(&step, &forged), Some(Err(Refusal::Bad)));
    }
    assert_eq!(KeySet::from_pem(pem, &[JwtAlgorithm::HS256]).unwrap_err(), KeyError::NoneServes);
}

#[test]
fn a_forged_or_damaged_token_is_refused() {
    let (step, claims) = (step(|_| {}), json!({ "sub": "alice", "exp": NOW_S + 60 }));
    let genuine = token(&json!({ "alg": "HS256" }), &claims, hs256(SECRET));
    assert!(check(&step, &genuine).unwrap().is_ok());
    let other_secret = token(&json!({ "alg": "HS256" }), &claims, hs256(b"another secret of thirty-two byt"));
    assert_eq!(check(&step, &other_secret), Some(Err(Refusal::Bad)));
    let (_, signature) = genuine.rsplit_once('.').unwrap();
    let header = encode(br#"{"alg":"HS256"}"#);
    let root = encode(json!({ "sub": "root", "exp": NOW_S + 60 }).to_string().as_bytes());
    assert_eq!(check(&step, &format!("{header}.{root}.{signature}")), Some(Err(Refusal::Bad)));
    let critical = token(&json!({ "alg": "HS256", "crit": ["b64"], "b64": false }), &claims, hs256(SECRET));
    assert_eq!(check(&step, &critical), Some(Err(Refusal::Bad)));
    let no_object = token(&json!({ "alg": "HS256" }), &json!([1]), hs256(SECRET));
    assert_eq!(check(&step, &no_object), Some(Err(Refusal::Bad)));
}

#[test]
fn h_api_times_are_checked_with_leeway() {
    let step = step(|config| config.leeway_seconds = 10);
    for (claims, refusal) in [
        (json!({ "exp": NOW_S - 9 }), None),
        (json!({ "exp": NOW_S - 10 }), Some(Refusal::Expired)),
        (json!({ "exp": NOW_S as f64 + 0.5 }), None),
        (json!({ "exp": null }), Some(Refusal::Bad)),
        (json!({ "exp": "never" }), Some(Refusal::Bad)),
        (json!({ "exp": [NOW_S + 60] }), Some(Refusal::Bad)),
        (json!({ "exp": -1 }), Some(Refusal::Bad)),
        (json!({ "exp": 1e300 }), Some(Refusal::Bad)),
        (json!({ "nbf": NOW_S + 10 }), None),
        (json!({ "nbf": NOW_S + 11 }), Some(Refusal::Expired)),
        (json!({ "nbf": "soon" }), Some(Refusal::Bad)),
    ] {
        assert_eq!(with_claims(&step, claims.clone()).err(), refusal, "{claims}");
    }
    let lasting = self::step(|config| config.require_expiry = false);
    assert_eq!(with_claims(&lasting, json!({ "exp": null })).unwrap().expires_at_ms, None);
    assert_eq!(with_claims(&lasting, json!({ "exp": "never" })), Err(Refusal::Bad));
}

#[test]
fn issuer_and_audience_must_be_the_configured_ones() {
    let step = step(|config| {
        config.issuer = Some("https://issuer".into());
        config.audience = Some("mqtt".into());
    });
    for (claims, ok) in [
        (json!({ "iss": "https://issuer", "aud": "mqtt" }), true),
        (json!({ "iss": "https://issuer", "aud": ["web", "mqtt"] }), true),
        (json!({ "iss": "https://issuer", "aud": ["web"] }), false),
        (json!({ "iss": "https://issuer" }), false),
        (json!({ "iss": "https://other", "aud": "mqtt" }), false),
        (json!({ "iss": ["https://issuer"], "aud": "mqtt" }), false),
        (json!({ "aud": "mqtt" }), false),
    ] {
        assert_eq!(with_claims(&step, claims.clone()).is_ok(), ok, "{claims}");
    }
    let for_somebody_else = with_claims(&self::step(|_| {}), json!({ "aud": "web" }));
    assert_eq!(for_somebody_else, Err(Refusal::Bad), "RFC 7519, section 4.1.3");
}

#[test]
fn claims_become_user_name_client_id_and_groups() {
    let step = step(|config| {
        config.username_claim = "name".into();
        config.client_id_claim = Some("cid".into());
        config.groups = vec!["tokens".into()];
    });
    let identity = with_claims(&step, json!({ "name": "bob", "cid": "c1", "groups": ["a", "b"] })).unwrap();
    assert_eq!(identity.username.as_deref(), Some("bob"));
    assert_eq!(identity.groups, ["tokens", "a", "b"].map(Arc::from));
    for (claims, refusal) in [
        (json!({ "name": "bob" }), Refusal::ClientId),
        (json!({ "name": "bob", "cid": "c2" }), Refusal::ClientId),
        (json!({ "cid": "c1" }), Refusal::Bad),
        (json!({ "name": "", "cid": "c1" }), Refusal::Bad),
        (json!({ "name": "a\nb", "cid": "c1" }), Refusal::Bad),
        (json!({ "name": 7, "cid": "c1" }), Refusal::Bad),
        (json!({ "name": "bob", "cid": "c1", "groups": [1] }), Refusal::Bad),
    ] {
        assert_eq!(with_claims(&step, claims.clone()), Err(refusal), "{claims}");
    }
}

#[test]
fn topic_claims_become_a_scope() {
    let rules = sluice_dataplane_access::Rules::allow_all();
    let identity = with_claims(&step(|_| {}), json!({ "publish": ["dev/%c/#"], "subscribe": "cmd" })).unwrap();
    let principal = identity.principal("c1".into());
    assert!(!rules.is_open(&principal));
    assert!(rules.publish(&principal, "dev/c1/x", 0, false).allowed);
    assert!(!rules.publish(&principal, "dev/c2/x", 0, false).allowed);
    assert!(rules.subscribe(&principal, "cmd", 0, None).allowed);
    assert!(!rules.subscribe(&principal, "#", 0, None).allowed);
    for claims in [json!({ "publish": ["a/#/b"] }), json!({ "subscribe": 1 }), json!({ "publish": vec!["a"; 65] })] {
        assert_eq!(with_claims(&step(|_| {}), claims.clone()), Err(Refusal::Bad), "{claims}");
    }
}

#[test]
fn a_token_may_stand_in_the_user_name() {
    let step = step(|config| config.token = TokenPlace::Username);
    let token = token(&json!({ "alg": "HS256" }), &json!({ "sub": "alice", "exp": NOW_S + 60 }), hs256(SECRET));
    assert!(check(&step, &token).is_none());
    let credentials = Credentials { username: Some(&token), ..Credentials::default() };
    assert!(step.check(&credentials, NOW_MS).unwrap().is_ok());
}

#[test]
fn rsa_signatures_of_both_kinds_are_verified() {
    let pkcs1 = include_str!("../../testdata/rs256.jwt");
    let pss = include_str!("../../testdata/ps256.jwt");
    for pem in [&include_bytes!("../../testdata/rsa.pub.pem")[..], include_bytes!("../../testdata/rsa.crt.pem")] {
        for (algorithm, genuine, other) in [(JwtAlgorithm::RS256, pkcs1, pss), (JwtAlgorithm::PS256, pss, pkcs1)] {
            let step = JwtStep::new(config(&[algorithm]), KeySet::from_pem(pem, &[algorithm]).unwrap());
            assert_eq!(check(&step, genuine).unwrap().unwrap().username.as_deref(), Some("device-1"));
            assert_eq!(check(&step, other), Some(Err(Refusal::Bad)));
        }
    }
}

#[test]
fn a_key_set_serves_by_key_id_and_kind() {
    let random = SystemRandom::new();
    let p256 = |_| {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).unwrap()
    };
    let [first, second] = [0, 1].map(p256);
    let edwards = Ed25519KeyPair::from_pkcs8(Ed25519KeyPair::generate_pkcs8(&random).unwrap().as_ref()).unwrap();
    let jwk = |id: &str, key: &EcdsaKeyPair| {
        let point = key.public_key().as_ref();
        json!({ "kty": "EC", "crv": "P-256", "kid": id, "x": encode(&point[1..33]), "y": encode(&point[33..]) })
    };
    let set = json!({ "keys": [
        jwk("k1", &first),
        jwk("k2", &second),
        { "kty": "OKP", "crv": "Ed25519", "x": encode(edwards.public_key().as_ref()), "use": "sig", "alg": "EdDSA" },
        { "kty": "RSA", "use": "enc", "n": "!", "e": "!" },
        { "kty": "future", "kid": "k9" },
    ]});
    let algorithms = [JwtAlgorithm::ES256, JwtAlgorithm::EdDSA];
    let keys = KeySet::from_jwks(set.to_string().as_bytes(), &algorithms).unwrap();
    let step = JwtStep::new(config(&algorithms), keys);
    let claims = json!({ "sub": "alice", "exp": NOW_S + 60 });
    let verdict = |header: Value, key: &EcdsaKeyPair| {
        check(&step, &token(&header, &claims, |message| key.sign(&random, message).unwrap().as_ref().to_vec())).unwrap()
    };
    assert!(verdict(json!({ "alg": "ES256", "kid": "k1" }), &first).is_ok());
    assert!(verdict(json!({ "alg": "ES256", "kid": "k2" }), &second).is_ok());
    assert!(verdict(json!({ "alg": "ES256", "kid": "k1" }), &second).is_err(), "signed with another key");
    assert!(verdict(json!({ "alg": "ES256", "kid": "k3" }), &first).is_err(), "no such key");
    assert!(verdict(json!({ "alg": "ES256" }), &first).is_err(), "two keys could be meant");
    let edwards_token = token(&json!({ "alg": "EdDSA" }), &claims, |message| edwards.sign(message).as_ref().to_vec());
    assert!(check(&step, &edwards_token).unwrap().is_ok(), "only one key could be meant");
}

#[test]
fn f2_files_without_a_usable_key_are_refused() {
    let hs = &[JwtAlgorithm::HS256][..];
    assert!(matches!(KeySet::from_secret(b"short\n", hs), Err(KeyError::ShortSecret { bytes: 5, .. })));
    assert!(KeySet::from_secret(&[SECRET, b"\r\n"].concat(), hs).is_ok());
    assert_eq!(KeySet::from_secret(SECRET, &[JwtAlgorithm::RS256]).unwrap_err(), KeyError::NoneServes);
    let rs = &[JwtAlgorithm::RS256][..];
    assert_eq!(KeySet::from_pem(b"nothing", rs).unwrap_err(), KeyError::Pem);
    let private = rcgen::KeyPair::generate().unwrap().serialize_pem();
    assert_eq!(KeySet::from_pem(private.as_bytes(), rs).unwrap_err(), KeyError::Private);
    for set in ["", "{}", "[]", r#"{"keys":[{"kty":"RSA","n":"!","e":"AQAB"}]}"#, r#"{"keys":[{"kty":"RSA"}]}"#] {
        assert!(matches!(KeySet::from_jwks(set.as_bytes(), rs), Err(KeyError::Set(_))), "{set}");
    }
    let curve = r#"{"keys":[{"kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA"}]}"#;
    assert!(matches!(KeySet::from_jwks(curve.as_bytes(), &[JwtAlgorithm::ES256]), Err(KeyError::Set(_))));
    assert_eq!(KeySet::from_jwks(br#"{"keys":[]}"#, rs).unwrap_err(), KeyError::NoneServes);
}

#[test]
fn nothing_secret_is_in_debug_output() {
    assert!(!format!("{:?}", step(|_| {})).contains("thirty"));
    let shown = Credentials { password: Some(b"secret"), ..Credentials::default() };
    assert!(!format!("{shown:?}").contains("115, 101"));
}

proptest! {
    #[test]
    fn no_text_makes_a_check_panic(header in "\\PC{0,20}", claims in "\\PC{0,20}", tail in "[A-Za-z0-9._-]{0,40}") {
        let step = step(|_| {});
        let _ = check(&step, &tail);
        let signed = format!("{}.{}", encode(header.as_bytes()), encode(claims.as_bytes()));
        let _ = check(&step, &format!("{signed}.{tail}"));
        let genuine = format!("{}.{}", encode(br#"{"alg":"HS256"}"#), encode(claims.as_bytes()));
        let signature = encode(&hs256(SECRET)(genuine.as_bytes()));
        let _ = check(&step, &format!("{genuine}.{signature}"));
    }

    #[test]
    fn no_text_makes_a_key_set_panic(text in "[{}\\[\\]\",:a-zA-Z0-9 ]{0,60}", pem in any::<Vec<u8>>()) {
        let _ = KeySet::from_jwks(text.as_bytes(), &[JwtAlgorithm::RS256]);
        let _ = KeySet::from_pem(&pem, &[JwtAlgorithm::RS256]);
    }
}
