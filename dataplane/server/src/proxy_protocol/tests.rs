use proptest::prelude::*;

use super::*;

fn header_2(version_command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u16).to_be_bytes();
    [SIGNATURE_2, &[version_command, family], &length, body].concat()
}

fn tcp4_body() -> Vec<u8> {
    vec![192, 0, 2, 1, 198, 51, 100, 1, 0x1F, 0x90, 0x07, 0x5B]
}

fn client(start: Result<Start, ProxyError>) -> String {
    match start {
        Ok(Start::Header { client: Some(client), .. }) => client.to_string(),
        Ok(Start::Header { client: None, .. }) => "nobody".into(),
        other => format!("{other:?}"),
    }
}

#[test]
fn version_1_names_the_client() {
    let line = b"PROXY TCP4 192.0.2.1 198.51.100.1 8080 1883\r\n\x10\x0C";
    assert_eq!(parse(line), Ok(Start::Header { consumed: 45, client: Some("192.0.2.1:8080".parse().unwrap()) }));
    assert_eq!(client(parse(b"PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n")), "[2001:db8::1]:1");
    assert_eq!(client(parse(b"PROXY UNKNOWN\r\n")), "nobody");
    assert_eq!(client(parse(b"PROXY UNKNOWN whatever stands here\r\n")), "nobody");
}

#[test]
fn px1_a_version_1_line_over_107_bytes_is_refused() {
    let long = [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 93], b"\r\n".to_vec()].concat();
    assert_eq!(parse(&long), Err(ProxyError::LineTooLong));
    assert_eq!(parse(&long[..107]), Err(ProxyError::LineTooLong), "without waiting for more");
    assert_eq!(parse(&long[..106]), Ok(Start::More));
}

#[test]
fn a_version_1_line_with_wrong_fields_is_refused() {
    for line in [
        "PROXY TCP4 192.0.2.1 198.51.100.1 8080\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 8080 1883 1\r\n",
        "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
        "PROXY TCP6 192.0.2.1 198.51.100.1 8080 1883\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 65536 1883\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 +80 1883\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 080 1883\r\n",
        "PROXY TCP4 192.0.2.1  198.51.100.1 80 1883\r\n",
        "PROXY UDP4 192.0.2.1 198.51.100.1 80 1883\r\n",
        "PROXY \r\n",
    ] {
        assert_eq!(parse(line.as_bytes()), Err(ProxyError::BadLine), "{line}");
    }
}

#[test]
fn version_2_names_the_client() {
    assert_eq!(client(parse(&header_2(0x21, FAMILY_TCP4, &tcp4_body()))), "192.0.2.1:8080");
    let body = [&[0x20, 0x01, 0x0D, 0xB8][..], &[0; 11], &[1], &[0; 16], &[0, 80, 7, 91]].concat();
    assert_eq!(client(parse(&header_2(0x21, FAMILY_TCP6, &body))), "[2001:db8::1]:80");
    assert_eq!(client(parse(&header_2(0x21, FAMILY_UNIX, &[0; 216]))), "nobody");
    assert_eq!(client(parse(&header_2(0x21, FAMILY_UNSPECIFIED, &[1, 2, 3]))), "nobody");
}

#[test]
fn px1_local_speaks_for_the_proxy_itself() {
    assert_eq!(parse(&header_2(0x20, 0, &[])), Ok(Start::Header { consumed: 16, client: None }));
    assert_eq!(client(parse(&header_2(0x20, FAMILY_TCP4, &tcp4_body()))), "nobody");
}

#[test]
fn px1_a_version_2_length_that_is_wrong_is_refused() {
    assert_eq!(parse(&header_2(0x21, FAMILY_TCP4, &tcp4_body()[..11])), Err(ProxyError::BadLength));
    assert_eq!(parse(&header_2(0x21, FAMILY_TCP6, &[0; 35])), Err(ProxyError::BadLength));
    let announced = &header_2(0x21, FAMILY_TCP4, &vec![0; 4097])[..16];
    assert_eq!(parse(announced), Err(ProxyError::BadLength), "without waiting for the body");
}

#[test]
fn a_version_2_header_of_another_kind_is_refused() {
    assert_eq!(parse(&header_2(0x11, FAMILY_TCP4, &tcp4_body())), Err(ProxyError::BadVersion));
    assert_eq!(parse(&header_2(0x22, FAMILY_TCP4, &tcp4_body())), Err(ProxyError::BadVersion));
    assert_eq!(parse(&header_2(0x21, 0x12, &tcp4_body())), Err(ProxyError::BadFamily));
}

#[test]
fn px1_extensions_are_bounded() {
    let with = |extensions: &[u8]| parse(&header_2(0x21, FAMILY_TCP4, &[&tcp4_body(), extensions].concat()));
    assert_eq!(client(with(&[1, 0, 4, b'm', b'q', b't', b't'])), "192.0.2.1:8080");
    assert_eq!(client(with(&[4, 0, 0].repeat(64))), "192.0.2.1:8080");
    assert_eq!(with(&[4, 0, 0].repeat(65)), Err(ProxyError::BadExtension));
    assert_eq!(with(&[1, 0, 5, b'm']), Err(ProxyError::BadExtension));
    assert_eq!(with(&[1, 0]), Err(ProxyError::BadExtension));
}

#[test]
fn what_is_no_header_is_said_at_the_first_byte_that_shows_it() {
    assert_eq!(parse(b""), Ok(Start::More));
    assert_eq!(parse(b"\x10"), Ok(Start::Absent));
    assert_eq!(parse(b"PROX"), Ok(Start::More));
    assert_eq!(parse(b"PROZ"), Ok(Start::Absent));
    assert_eq!(parse(b"\r\n\r\nQ"), Ok(Start::Absent));
}

#[test]
fn first_bytes_are_named_in_plain_words() {
    assert_eq!(describe(b"\x10\x0C\x00\x04MQTT"), "an MQTT CONNECT");
    assert_eq!(describe(b"\x16\x03\x01"), "a TLS ClientHello");
    assert_eq!(describe(b"GET / HTTP/1.1"), "an HTTP request");
    assert_eq!(describe(b"PROXY TCP4"), "a PROXY header");
    assert_eq!(describe(SIGNATURE_2), "a PROXY header");
    assert_eq!(describe(b"\x00"), "something unknown");
}

proptest! {
    #[test]
    fn every_cut_of_a_header_asks_for_more(cut in 0..60_usize) {
        let header = header_2(0x21, FAMILY_TCP4, &[tcp4_body(), vec![4, 0, 29], vec![0; 29]].concat());
        prop_assert_eq!(parse(&header[..cut.min(header.len() - 1)]), Ok(Start::More));
    }

    #[test]
    fn no_input_panics(data: Vec<u8>, family: u8, command: u8) {
        fuzz_proxy(&data);
        fuzz_proxy(&header_2(command, family, &data));
        fuzz_proxy(&[SIGNATURE_1, &data].concat());
    }
}
