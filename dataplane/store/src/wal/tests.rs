use super::*;

/// A log as RocksDB writes it.
#[derive(Default)]
struct Log(Vec<u8>);

impl Log {
    fn group(&mut self, sequence: u64, count: u32, synced: u64, bytes: usize) -> usize {
        let mut record = sequence.to_le_bytes().to_vec();
        record.extend(count.to_le_bytes());
        record.extend([LOG_DATA, 8]);
        record.extend(synced.to_le_bytes());
        record.resize(record.len() + bytes, b'v');
        let start = self.0.len();
        let mut rest = &record[..];
        let mut first = true;
        loop {
            let mut room = BLOCK_BYTES - self.0.len() % BLOCK_BYTES;
            if room < HEADER_BYTES {
                self.0.resize(self.0.len() + room, 0);
                room = BLOCK_BYTES;
            }
            let (piece, after) = rest.split_at(rest.len().min(room - HEADER_BYTES));
            let kind = match (first, after.is_empty()) {
                (true, true) => FULL,
                (true, false) => FIRST,
                (false, false) => MIDDLE,
                (false, true) => LAST,
            };
            self.fragment(kind, piece);
            if after.is_empty() {
                return start;
            }
            (rest, first) = (after, false);
        }
    }

    fn fragment(&mut self, kind: u8, piece: &[u8]) {
        let crc = masked(crc32c::crc32c(&[&[kind], piece].concat()));
        self.0.extend(crc.to_le_bytes());
        self.0.extend((piece.len() as u16).to_le_bytes());
        self.0.push(kind);
        self.0.extend(piece);
    }
}

/// Groups that share a block, that reach into a second one, and that have a middle.
const SIZES: [usize; 3] = [500, 20_000, 90_000];

fn check_of(logs: &[&[u8]]) -> Option<u64> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (number, log) in logs.iter().enumerate() {
        // Names order as numbers, not as text.
        fs::write(folder.path().join(format!("{:06}.log", number + 9)), log).expect("writes");
    }
    check(folder.path()).expect("reads").map(|damage| damage.missing)
}

/// Ten groups of three changes, each synced before the next but one is written.
fn ten(bytes: usize) -> (Log, Vec<usize>) {
    let mut log = Log::default();
    let starts = (0..10).map(|n| log.group(1 + 3 * n, 3, (3 * n).saturating_sub(3), bytes)).collect();
    (log, starts)
}

#[test]
fn a_whole_log_is_not_damaged() {
    for bytes in SIZES {
        assert_eq!(check_of(&[&ten(bytes).0.0]), None);
    }
    assert_eq!(check_of(&[]), None);
}

#[test]
fn a_flipped_bit_before_what_was_synced_is_damage() {
    for bytes in SIZES {
        let (log, starts) = ten(bytes);
        for (group, range) in starts.windows(2).enumerate().skip(1).take(6) {
            for at in [range[0] + HEADER_BYTES, (range[0] + range[1]) / 2, range[1] - 1] {
                let mut flipped = log.0.clone();
                flipped[at] ^= 1;
                assert_eq!(check_of(&[&flipped]), Some(1 + 3 * group as u64), "{bytes} bytes, group {group}, {at}");
            }
        }
    }
}

#[test]
fn a_log_cut_off_anywhere_is_not_damaged() {
    for bytes in SIZES {
        let (log, _) = ten(bytes);
        for length in (0..log.0.len()).step_by(bytes / 20) {
            assert_eq!(check_of(&[&log.0[..length]]), None, "{length}");
        }
    }
}

#[test]
fn what_was_not_synced_may_be_missing_though_later_parts_are_there() {
    let mut log = Log::default();
    log.group(1, 1, 0, 40_000);
    let torn = log.group(2, 1, 1, 40_000);
    log.group(3, 1, 1, 40_000);
    log.0[torn..torn + 4096].fill(0);
    assert_eq!(check_of(&[&log.0]), None);
}

#[test]
fn a_gap_between_two_files_is_damage_when_it_was_synced() {
    let mut logs = [Log::default(), Log::default()];
    logs[0].group(1, 2, 0, 100);
    logs[0].group(3, 2, 2, 100);
    logs[1].group(5, 2, 2, 100);
    let kept = logs[0].0.len() / 2;
    assert_eq!(check_of(&[&logs[0].0, &logs[1].0]), None);
    assert_eq!(check_of(&[&logs[0].0[..kept], &logs[1].0]), None, "3 was not synced when 5 was written");
    logs[1].group(7, 2, 6, 100);
    assert_eq!(check_of(&[&logs[0].0[..kept], &logs[1].0]), Some(3));
}

#[test]
fn any_bytes_are_read_without_harm() {
    let mut state = 7u64;
    let noise = (0..100_000).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    });
    assert_eq!(check_of(&[&noise.collect::<Vec<_>>()]), None);
}
