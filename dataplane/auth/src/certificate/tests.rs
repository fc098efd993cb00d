use proptest::prelude::*;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

use super::*;

fn certificate(common_names: &[&str], alternative_names: Vec<SanType>) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    for name in common_names {
        params.distinguished_name.push(DnType::CommonName, *name);
    }
    params.subject_alt_names = alternative_names;
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

fn common_name(name: &str) -> Option<String> {
    identity(&certificate(&[name], Vec::new()), CertificateIdentity::CommonName)
}

#[test]
fn each_kind_of_name_is_found() {
    let names = vec![
        SanType::DnsName("device1.example".try_into().unwrap()),
        SanType::URI("spiffe://example/device/1".try_into().unwrap()),
        SanType::Rfc822Name("device1@example".try_into().unwrap()),
    ];
    let der = certificate(&["device 1"], names);
    let found = |kind| identity(&der, kind);
    assert_eq!(found(CertificateIdentity::CommonName).as_deref(), Some("device 1"));
    assert_eq!(found(CertificateIdentity::Dns).as_deref(), Some("device1.example"));
    assert_eq!(found(CertificateIdentity::Uri).as_deref(), Some("spiffe://example/device/1"));
    assert_eq!(found(CertificateIdentity::Email).as_deref(), Some("device1@example"));
}

#[test]
fn n5_names_that_could_break_out_of_their_place_are_refused() {
    for name in ["a\r\nb", "a\0b", "+", "#", "a/b", "dev+1", "", &"x".repeat(300)] {
        assert_eq!(common_name(name), None, "{name:?}");
    }
    assert_eq!(common_name("gerät-1").as_deref(), Some("gerät-1"));
}

#[test]
fn a_certificate_that_names_nobody_or_several_is_refused() {
    assert_eq!(identity(&certificate(&[], Vec::new()), CertificateIdentity::CommonName), None);
    let two = vec![SanType::DnsName("a".try_into().unwrap()), SanType::DnsName("b".try_into().unwrap())];
    assert_eq!(identity(&certificate(&["x"], two), CertificateIdentity::Dns), None);
    assert_eq!(identity(&certificate(&["x"], Vec::new()), CertificateIdentity::Dns), None);
}

#[test]
fn n5_what_is_no_certificate_or_too_large_is_refused() {
    assert_eq!(identity(b"", CertificateIdentity::CommonName), None);
    assert_eq!(identity(&[0x30; CERTIFICATE_BYTES_MAX + 1], CertificateIdentity::CommonName), None);
}

#[test]
fn without_a_certificate_the_step_has_nothing_to_say() {
    let step = CertificateStep::new(&CertificateConfig { groups: vec!["devices".into()], ..Default::default() });
    assert!(step.check(&Credentials::default()).is_none());
    let der = certificate(&["c1"], Vec::new());
    let shown = Credentials { certificate: Some(&der), username: Some("ignored"), ..Credentials::default() };
    let identity = step.check(&shown).unwrap().unwrap();
    assert_eq!(identity.username.as_deref(), Some("c1"));
    assert_eq!(identity.groups, [Arc::from("devices")]);
    let broken = Credentials { certificate: Some(b"0"), ..Credentials::default() };
    assert_eq!(step.check(&broken), Some(Err(Refusal::Bad)));
}

proptest! {
    #[test]
    fn no_damage_to_a_certificate_makes_it_panic(at in 0..300_usize, byte in any::<u8>(), cut in 0..300_usize) {
        let mut der = certificate(&["c1"], vec![SanType::DnsName("a".try_into().unwrap())]);
        let length = der.len();
        der[at % length] = byte;
        for kind in [CertificateIdentity::CommonName, CertificateIdentity::Dns] {
            let _ = identity(&der, kind);
            let _ = identity(&der[..length - cut % length], kind);
        }
    }
}
