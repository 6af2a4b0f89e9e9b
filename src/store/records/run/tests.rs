//! Whatever records go into a run come out of it, and nothing else does.

use proptest::prelude::*;

use super::*;

const ARRIVAL: ServerTimestamp = ServerTimestamp::from_millis(1_700_000_000_000);
const ALL: ReadLimit = ReadLimit { records: usize::MAX, bytes: usize::MAX };

fn any_records() -> impl Strategy<Value = Vec<Bytes>> {
    // Some are large enough not to be copied.
    let len = prop_oneof![4 => 0..40usize, 1 => COPIED_BYTES - 1..COPIED_BYTES + 3];
    let record = (len, any::<u8>()).prop_map(|(len, byte)| Bytes::from(vec![byte; len]));
    proptest::collection::vec(record, 1..20)
}

fn run_of(records: &[Bytes], before: u64) -> Run {
    let bytes = Framed::bytes_of(records).expect("they are few");
    let framed = Framed::new(records.to_vec(), bytes);
    assert_eq!(framed.pieces.iter().map(Bytes::len).sum::<usize>(), bytes);
    let Framed { pieces, records, .. } = framed;
    Run { last: before + u64::from(records), records, arrival: ARRIVAL, pieces }
}

fn in_one_piece(run: &Run) -> Run {
    let pieces = vec![Bytes::from(run.pieces.concat())];
    Run { pieces, ..Run { pieces: Vec::new(), ..*run } }
}

proptest! {
    #[test]
    fn records_come_out_of_a_run_as_they_went_in(
        records in any_records(), before in 0..1_000u64, skip in 0..25u64,
        most in 0..25usize, bytes in 0..40_000usize,
    ) {
        let run = run_of(&records, before);
        prop_assert_eq!(run.first(), before + 1);
        let limit = ReadLimit { records: most, bytes };
        let mut wanted = Vec::new();
        let mut sum = 0;
        for (index, payload) in (before + 1..).zip(&records).skip(skip as usize) {
            sum += payload.len();
            if !wanted.is_empty() && (wanted.len() >= most || sum > bytes) {
                break;
            }
            wanted.push(StoredRecord { index, arrival: ARRIVAL, payload: payload.clone() });
        }
        for run in [&run, &in_one_piece(&run)] {
            let mut found = Found::default();
            prop_assert_eq!(run.read(before + 1 + skip, limit, &mut found), Ok(()));
            prop_assert_eq!(&found.records, &wanted);
        }
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in any::<Vec<u8>>(), records in 1..50u32, from in 0..60u64) {
        let run = Run { last: 50, records, arrival: ARRIVAL, pieces: vec![bytes.into()] };
        let mut found = Found::default();
        let read = run.read(from, ALL, &mut found);
        let wanted = 50 + 1 - from.max(run.first()).min(51);
        prop_assert!(read == Err(Malformed) || found.records.len() as u64 == wanted);
    }

    #[test]
    fn log_keeps_a_run_as_one_fragment_that_is_all_cluster(records in any_records()) {
        let run = run_of(&records, 7);
        let entry = run.entry(StreamId(3));
        prop_assert_eq!(entry.body_len(), run.bytes() as u64);
        prop_assert_eq!(entry.body_crc, crc32c::crc32c(&run.pieces.concat()));
        prop_assert_eq!(first_of(entry.number.counter(), entry.breaks), 8);
        prop_assert_eq!(entry.number.server_timestamp(), ARRIVAL);
    }
}
