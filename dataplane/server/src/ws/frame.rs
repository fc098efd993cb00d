//! WebSocket frames (RFC 6455 §5) as a server reads and writes them.
//!
//! The decoder takes a client's bytes as they come from the transport, removes headers and masks in place and leaves
//! the payload in one run at the front of the same buffer. It buffers nothing but a header that was cut in two and
//! the payload of a control frame, at most 139 bytes together.

/// Reads a client's frames. One for each connection.
#[derive(Debug)]
pub struct FrameDecoder {
    /// Largest payload of one data frame, in bytes.
    frame_bytes_max: u64,
    /// The header of the next frame, as far as it came.
    header: [u8; HEADER_BYTES_MAX],
    header_len: u8,
    current: Current,
    mask: [u8; 4],
    /// Payload bytes of the current frame still to come.
    left: u64,
    /// Payload of the control frame that is being read.
    control: [u8; CONTROL_BYTES_MAX],
    control_len: u8,
    /// Whether a message was begun whose last frame has not come.
    message_open: bool,
    /// Data frames without payload, one after the other.
    empty_frames: u8,
    /// Control frames since `window_start_ms`.
    control_frames: u16,
    window_start_ms: u64,
    ended: bool,
}

/// What some bytes held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decoded {
    /// How many payload bytes stand at the front of the buffer.
    pub payload: usize,
    /// Set when the connection is over; the reply that says so is among the replies already.
    pub end: Option<CloseCode>,
}

/// Why a WebSocket connection ends (RFC 6455 §7.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CloseCode {
    /// 1000: the client asked for it.
    Normal,
    /// 1001: the broker goes down or closes the connection.
    GoingAway,
    /// 1002: a frame that breaks the protocol.
    Protocol,
    /// 1003: a text frame [MQTT-6.0.0-1].
    Unsupported,
    /// 1007: a close reason that is not UTF-8.
    InvalidPayload,
    /// 1008: more control or empty frames than allowed.
    Policy,
    /// 1009: a frame longer than allowed.
    TooLarge,
}

impl CloseCode {
    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::GoingAway => 1001,
            Self::Protocol => 1002,
            Self::Unsupported => 1003,
            Self::InvalidPayload => 1007,
            Self::Policy => 1008,
            Self::TooLarge => 1009,
        }
    }
}

/// ```text
/// Header ──complete──► Data ──left = 0──► Header
///    └─────complete──► Ping | Pong | Close ──left = 0──► Header, or the end
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Current {
    Header,
    Data,
    Ping,
    Pong,
    Close,
}

impl FrameDecoder {
    /// A decoder that refuses data frames with more than `frame_bytes_max` bytes of payload.
    #[must_use]
    pub fn new(frame_bytes_max: u64) -> Self {
        Self {
            frame_bytes_max,
            header: [0; HEADER_BYTES_MAX],
            header_len: 0,
            current: Current::Header,
            mask: [0; 4],
            left: 0,
            control: [0; CONTROL_BYTES_MAX],
            control_len: 0,
            message_open: false,
            empty_frames: 0,
            control_frames: 0,
            window_start_ms: 0,
            ended: false,
        }
    }

    /// Takes all of `bytes`. What is to be sent back (pongs, a close) is appended to `replies`. After an end was
    /// reported nothing more is read.
    pub fn decode(&mut self, now_ms: u64, bytes: &mut [u8], replies: &mut Vec<u8>) -> Decoded {
        let mut payload = 0;
        if self.ended {
            return Decoded { payload, end: None };
        }
        match self.read(now_ms, bytes, &mut payload, replies) {
            Ok(()) => Decoded { payload, end: None },
            Err(code) => {
                self.ended = true;
                push_close(code, replies);
                Decoded { payload, end: Some(code) }
            }
        }
    }

    fn read(
        &mut self,
        now_ms: u64,
        bytes: &mut [u8],
        payload: &mut usize,
        replies: &mut Vec<u8>,
    ) -> Result<(), CloseCode> {
        let mut at = 0;
        while at < bytes.len() {
            match self.current {
                Current::Header => at += self.gather_header(now_ms, &bytes[at..])?,
                Current::Data => {
                    let run = clamp(self.left, bytes.len() - at);
                    bytes.copy_within(at..at + run, *payload);
                    unmask(&mut bytes[*payload..*payload + run], &mut self.mask);
                    *payload += run;
                    at += run;
                    self.left -= run as u64;
                }
                Current::Ping | Current::Pong | Current::Close => {
                    let run = clamp(self.left, bytes.len() - at);
                    let from = usize::from(self.control_len);
                    self.control[from..from + run].copy_from_slice(&bytes[at..at + run]);
                    unmask(&mut self.control[from..from + run], &mut self.mask);
                    self.control_len += run as u8;
                    at += run;
                    self.left -= run as u64;
                }
            }
            if self.current != Current::Header && self.left == 0 {
                self.finish_frame(replies)?;
            }
        }
        Ok(())
    }

    /// Adds to the header what is missing of it; says how many bytes it took.
    fn gather_header(&mut self, now_ms: u64, bytes: &[u8]) -> Result<usize, CloseCode> {
        let mut taken = 0;
        loop {
            let have = usize::from(self.header_len);
            let need = if have < 2 { 2 } else { header_bytes(self.header[1]) };
            let run = (need - have).min(bytes.len() - taken);
            self.header[have..have + run].copy_from_slice(&bytes[taken..taken + run]);
            self.header_len += run as u8;
            taken += run;
            if have + run < need {
                return Ok(taken);
            }
            if need == 2 {
                self.check_first_bytes()?;
            } else {
                self.begin_frame(now_ms)?;
                return Ok(taken);
            }
        }
    }

    /// Refuses what the first two bytes already show to be wrong.
    fn check_first_bytes(&self) -> Result<(), CloseCode> {
        let [first, second, ..] = self.header;
        let (fin, opcode, length) = (first & FIN != 0, first & OPCODE, second & !MASKED);
        if first & RESERVED != 0 || second & MASKED == 0 {
            return Err(CloseCode::Protocol);
        }
        match opcode {
            CONTINUATION if self.message_open => Ok(()),
            BINARY if !self.message_open => Ok(()),
            TEXT if !self.message_open => Err(CloseCode::Unsupported),
            CLOSE | PING | PONG if fin && usize::from(length) <= CONTROL_BYTES_MAX => Ok(()),
            _ => Err(CloseCode::Protocol),
        }
    }

    fn begin_frame(&mut self, now_ms: u64) -> Result<(), CloseCode> {
        let [first, second, extended @ ..] = self.header;
        let mask_at = usize::from(self.header_len) - 4;
        self.mask.copy_from_slice(&self.header[mask_at..mask_at + 4]);
        self.header_len = 0;
        self.left = payload_bytes(second & !MASKED, extended)?;
        match first & OPCODE {
            PING => self.begin_control(Current::Ping, now_ms),
            PONG => self.begin_control(Current::Pong, now_ms),
            CLOSE => self.begin_control(Current::Close, now_ms),
            _ => {
                if self.left > self.frame_bytes_max {
                    return Err(CloseCode::TooLarge);
                }
                self.empty_frames = if self.left == 0 { self.empty_frames + 1 } else { 0 };
                if self.empty_frames > EMPTY_FRAMES_MAX {
                    return Err(CloseCode::Policy);
                }
                self.message_open = first & FIN == 0;
                self.current = Current::Data;
                Ok(())
            }
        }
    }

    fn begin_control(&mut self, kind: Current, now_ms: u64) -> Result<(), CloseCode> {
        if now_ms.saturating_sub(self.window_start_ms) >= 1000 {
            self.window_start_ms = now_ms;
            self.control_frames = 0;
        }
        self.control_frames += 1;
        if self.control_frames > CONTROL_FRAMES_PER_SECOND_MAX {
            return Err(CloseCode::Policy);
        }
        self.current = kind;
        self.control_len = 0;
        Ok(())
    }

    fn finish_frame(&mut self, replies: &mut Vec<u8>) -> Result<(), CloseCode> {
        let kind = std::mem::replace(&mut self.current, Current::Header);
        let payload = &self.control[..usize::from(self.control_len)];
        match kind {
            Current::Header | Current::Data | Current::Pong => Ok(()),
            Current::Ping => {
                push_frame(PONG, payload, replies);
                Ok(())
            }
            Current::Close => Err(check_close(payload)),
        }
    }
}

/// What a close frame with this payload is answered with.
fn check_close(payload: &[u8]) -> CloseCode {
    let Some((code, reason)) = payload.split_at_checked(2) else {
        return if payload.is_empty() { CloseCode::Normal } else { CloseCode::Protocol };
    };
    match u16::from_be_bytes([code[0], code[1]]) {
        1000..=1003 | 1007..=1014 | 3000..=4999 if std::str::from_utf8(reason).is_ok() => CloseCode::Normal,
        1000..=1003 | 1007..=1014 | 3000..=4999 => CloseCode::InvalidPayload,
        _ => CloseCode::Protocol,
    }
}

/// Length of a client's header whose second byte is this one, in bytes.
fn header_bytes(second: u8) -> usize {
    match second & !MASKED {
        LENGTH_16 => 2 + 2 + 4,
        LENGTH_64 => 2 + 8 + 4,
        _ => 2 + 4,
    }
}

/// The payload's length; the shortest form is the only one allowed.
fn payload_bytes(short: u8, extended: [u8; HEADER_BYTES_MAX - 2]) -> Result<u64, CloseCode> {
    let [a, b, c, d, e, f, g, h, ..] = extended;
    match short {
        LENGTH_16 => match u64::from(u16::from_be_bytes([a, b])) {
            length @ 126.. => Ok(length),
            _ => Err(CloseCode::Protocol),
        },
        LENGTH_64 => match u64::from_be_bytes([a, b, c, d, e, f, g, h]) {
            length @ 0x1_0000.. => Ok(length),
            _ => Err(CloseCode::Protocol),
        },
        length => Ok(u64::from(length)),
    }
}

fn clamp(left: u64, available: usize) -> usize {
    usize::try_from(left).map_or(available, |left| left.min(available))
}

/// Removes the mask, and turns it so that it fits the byte that comes next.
pub fn unmask(bytes: &mut [u8], mask: &mut [u8; 4]) {
    let [a, b, c, d] = *mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut words = bytes.chunks_exact_mut(8);
    for word in &mut words {
        let mut eight = [0; 8];
        eight.copy_from_slice(word);
        word.copy_from_slice(&(u64::from_ne_bytes(eight) ^ wide).to_ne_bytes());
    }
    for (byte, key) in words.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
    mask.rotate_left(bytes.len() % 4);
}

/// Appends the header of a binary frame with `length` bytes of payload.
pub fn push_binary_header(length: usize, out: &mut Vec<u8>) {
    push_header(BINARY, length, out);
}

/// Appends a close frame.
pub fn push_close(code: CloseCode, out: &mut Vec<u8>) {
    push_frame(CLOSE, &code.number().to_be_bytes(), out);
}

fn push_frame(opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    push_header(opcode, payload.len(), out);
    out.extend_from_slice(payload);
}

fn push_header(opcode: u8, length: usize, out: &mut Vec<u8>) {
    out.push(FIN | opcode);
    if length < usize::from(LENGTH_16) {
        out.push(length as u8);
    } else if let Ok(length) = u16::try_from(length) {
        out.push(LENGTH_16);
        out.extend_from_slice(&length.to_be_bytes());
    } else {
        out.push(LENGTH_64);
        out.extend_from_slice(&(length as u64).to_be_bytes());
    }
}

/// Reads `data` as frames, cut in two at every place its first byte names. Entry point for fuzzing.
pub fn fuzz_frames(data: &[u8]) {
    let Some((&cut, stream)) = data.split_first() else { return };
    let mut decoder = FrameDecoder::new(1 << 20);
    let mut replies = Vec::new();
    for piece in stream.chunks(usize::from(cut).max(1)) {
        let mut piece = piece.to_vec();
        let decoded = decoder.decode(0, &mut piece, &mut replies);
        assert!(decoded.payload <= piece.len());
        if decoded.end.is_some() {
            return;
        }
    }
}

/// Two bytes, eight of extended length, four of mask.
const HEADER_BYTES_MAX: usize = 14;
/// RFC 6455 §5.5.
const CONTROL_BYTES_MAX: usize = 125;
/// Browsers send a ping never, libraries one in seconds.
const CONTROL_FRAMES_PER_SECOND_MAX: u16 = 50;
/// Legal and useless: a client that ends each message with an empty frame stays below it, because payload resets it.
const EMPTY_FRAMES_MAX: u8 = 64;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const OPCODE: u8 = 0x0F;
const MASKED: u8 = 0x80;
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

#[cfg(test)]
mod tests;
