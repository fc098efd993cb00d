use proptest::prelude::*;

use super::*;

/// A client's frame, masked.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xFA, 0x21, 0x3D];
    let mut out = vec![first];
    match payload.len() {
        short @ 0..=125 => out.push(0x80 | short as u8),
        medium @ 126..=0xFFFF => {
            out.push(0xFE);
            out.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            out.push(0xFF);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

fn decode(stream: &[u8]) -> (Vec<u8>, Vec<u8>, Option<CloseCode>) {
    let mut decoder = FrameDecoder::new(1 << 20);
    let (mut bytes, mut replies) = (stream.to_vec(), Vec::new());
    let decoded = decoder.decode(0, &mut bytes, &mut replies);
    bytes.truncate(decoded.payload);
    (bytes, replies, decoded.end)
}

fn close_code(stream: &[u8]) -> u16 {
    let (_, replies, end) = decode(stream);
    let number = end.expect("the connection ends").number();
    assert_eq!(replies, [&[0x88, 2][..], &number.to_be_bytes()].concat());
    number
}

#[test]
fn a_binary_frame_gives_its_payload() {
    assert_eq!(decode(&frame(0x82, b"hello")), (b"hello".to_vec(), vec![], None));
}

#[test]
fn ws6_packets_across_frames_and_frames_with_many_packets_are_one_stream() {
    let stream = [frame(0x82, b"ab"), frame(0x02, b"cd"), frame(0x00, b""), frame(0x80, b"ef")].concat();
    assert_eq!(decode(&stream), (b"abcdef".to_vec(), vec![], None));
}

#[test]
fn a_control_frame_between_fragments_is_answered_and_leaves_no_trace() {
    let stream = [frame(0x02, b"ab"), frame(0x89, b"are you there"), frame(0x80, b"cd")].concat();
    let (payload, replies, end) = decode(&stream);
    assert_eq!((payload.as_slice(), end), (&b"abcd"[..], None));
    assert_eq!(replies, [&[0x8A, 13][..], b"are you there"].concat());
}

#[test]
fn ws2_a_text_frame_closes_with_1003() {
    assert_eq!(close_code(&frame(0x81, b"text")), 1003);
}

#[test]
fn ws3_a_frame_without_mask_closes_with_1002() {
    assert_eq!(close_code(&[0x82, 0x02, b'a', b'b']), 1002);
}

#[test]
fn ws3_reserved_bits_close_with_1002() {
    for first in [0xC2, 0xA2, 0x92] {
        assert_eq!(close_code(&frame(first, b"a")), 1002);
    }
}

#[test]
fn ws3_reserved_opcodes_close_with_1002() {
    for opcode in [3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF] {
        assert_eq!(close_code(&frame(0x80 | opcode, b"a")), 1002);
    }
}

#[test]
fn ws3_a_fragmented_control_frame_closes_with_1002() {
    assert_eq!(close_code(&frame(0x09, b"a")), 1002);
}

#[test]
fn ws3_a_ping_of_126_bytes_closes_with_1002() {
    assert_eq!(close_code(&frame(0x89, &[0; 126])), 1002);
}

#[test]
fn a_continuation_of_nothing_closes_with_1002() {
    assert_eq!(close_code(&frame(0x80, b"a")), 1002);
}

#[test]
fn a_message_inside_a_message_closes_with_1002() {
    assert_eq!(close_code(&[frame(0x02, b"a"), frame(0x82, b"b")].concat()), 1002);
}

#[test]
fn a_length_that_is_not_in_its_shortest_form_closes_with_1002() {
    assert_eq!(close_code(&[0x82, 0xFE, 0, 5, 1, 2, 3, 4]), 1002);
    assert_eq!(close_code(&[0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 1, 2, 3, 4]), 1002);
}

#[test]
fn ws4_a_frame_of_2_to_the_63_bytes_closes_with_1009() {
    assert_eq!(close_code(&[0x82, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 3, 4]), 1009);
    assert_eq!(close_code(&[0x82, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 3, 4]), 1009);
}

#[test]
fn ws4_a_million_empty_continuations_close_with_1008() {
    let empty = frame(0x00, b"");
    let stream: Vec<u8> = frame(0x02, b"").into_iter().chain(empty.iter().copied().cycle().take(600_000)).collect();
    assert_eq!(close_code(&stream), 1008);
}

#[test]
fn ws4_a_ping_flood_closes_with_1008() {
    let flood = frame(0x89, b"").repeat(51);
    let (_, replies, end) = decode(&flood);
    assert_eq!(end, Some(CloseCode::Policy));
    assert_eq!(replies.len(), 50 * 2 + 4);
}

#[test]
fn pings_at_a_steady_rate_are_answered_for_ever() {
    let mut decoder = FrameDecoder::new(100);
    let mut replies = Vec::new();
    for second in 0..1000 {
        let mut pings = frame(0x89, b"").repeat(50);
        assert_eq!(decoder.decode(second * 1000, &mut pings, &mut replies).end, None);
    }
    assert_eq!(replies.len(), 100_000);
}

#[test]
fn a_close_is_answered_with_a_close_and_nothing_after_it_is_read() {
    let stream = [frame(0x82, b"ab"), frame(0x88, &1001_u16.to_be_bytes()), frame(0x82, b"cd")].concat();
    assert_eq!(decode(&stream), (b"ab".to_vec(), vec![0x88, 2, 0x03, 0xE8], Some(CloseCode::Normal)));
}

#[test]
fn a_close_that_is_none_is_told_so() {
    assert_eq!(close_code(&frame(0x88, &[3])), 1002, "half a code");
    assert_eq!(close_code(&frame(0x88, &1005_u16.to_be_bytes())), 1002, "a code that is never sent");
    assert_eq!(close_code(&frame(0x88, &[0x03, 0xE8, 0xC0, 0x80])), 1007, "a reason that is not UTF-8");
    assert_eq!(close_code(&frame(0x88, b"")), 1000);
}

#[test]
fn a_decoder_that_ended_reads_nothing_more() {
    let mut decoder = FrameDecoder::new(100);
    let mut replies = Vec::new();
    assert!(decoder.decode(0, &mut frame(0x81, b"x"), &mut replies).end.is_some());
    replies.clear();
    let after = decoder.decode(0, &mut frame(0x82, b"x"), &mut replies);
    assert_eq!((after, replies.len()), (Decoded { payload: 0, end: None }, 0));
}

#[test]
fn headers_have_the_shortest_length() {
    let header = |length| {
        let mut out = Vec::new();
        push_binary_header(length, &mut out);
        out
    };
    assert_eq!(header(125), [0x82, 125]);
    assert_eq!(header(126), [0x82, 126, 0, 126]);
    assert_eq!(header(0xFFFF), [0x82, 126, 0xFF, 0xFF]);
    assert_eq!(header(0x1_0000), [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
}

proptest! {
    #[test]
    fn unmasking_is_the_same_as_byte_by_byte(mut bytes: Vec<u8>, mask: [u8; 4], cut in 0..40_usize) {
        let expected: Vec<u8> = bytes.iter().zip(mask.iter().cycle()).map(|(b, k)| b ^ k).collect();
        let mut key = mask;
        let (first, second) = { let at = cut.min(bytes.len()); bytes.split_at_mut(at) };
        unmask(first, &mut key);
        unmask(second, &mut key);
        prop_assert_eq!(bytes, expected);
    }

    #[test]
    fn p15_a_stream_means_the_same_however_it_is_cut(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..12),
        cuts in prop::collection::vec(1..50_usize, 1..20),
    ) {
        let stream: Vec<u8> = payloads.iter().flat_map(|p| frame(0x82, p)).collect();
        let mut decoder = FrameDecoder::new(1000);
        let (mut got, mut replies, mut rest) = (Vec::new(), Vec::new(), stream.as_slice());
        for cut in cuts.iter().cycle() {
            if rest.is_empty() { break; }
            let (piece, later) = rest.split_at((*cut).min(rest.len()));
            let mut piece = piece.to_vec();
            let decoded = decoder.decode(0, &mut piece, &mut replies);
            prop_assert_eq!(decoded.end, None);
            got.extend_from_slice(&piece[..decoded.payload]);
            rest = later;
        }
        prop_assert_eq!(got, payloads.concat());
    }

    #[test]
    fn no_input_panics(data: Vec<u8>) {
        fuzz_frames(&data);
    }
}
