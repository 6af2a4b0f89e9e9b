//! Reading at the tail, and from the archive into it.

use std::time::Duration;

use super::*;
use crate::types::FragmentNumber;

async fn times_out<T>(future: impl Future<Output = T>) -> bool {
    tokio::time::timeout(Duration::from_millis(20), future).await.is_err()
}

#[tokio::test]
async fn cursor_goes_from_the_archive_into_live_without_gap_or_repeat() {
    let (store, _) = open(&MemoryDisk::new(), &clock());
    let front = stream(&store, "front");
    let writer = {
        let front = front.clone();
        tokio::spawn(async move {
            for n in 0..300i64 {
                let cluster = Random(n as u64).bytes(1_500);
                let mut writer = front.begin(Bytes::from_static(HEAD), at(n), FORMAT);
                for piece in cluster.chunks(400) {
                    writer.push(Bytes::copy_from_slice(piece));
                    tokio::task::yield_now().await;
                }
                writer.push_trailer(Bytes::from_static(b"tags"));
                let outcome = writer.finish(Millis(1));
                if n % 7 == 0 {
                    outcome.await.expect("persisted");
                }
            }
        })
    };
    let mut readers = Vec::new();
    for _ in 0..4 {
        let mut cursor = front.cursor(Start::Earliest);
        readers.push(tokio::spawn(async move {
            for n in 0..300i64 {
                let mut reader = cursor.next().await.expect("there is a next one");
                assert_eq!(reader.producer(), at(n), "no gap, no repeat");
                let rest = read_rest(&mut reader).await.expect("it is persisted");
                let whole = [reader.head().to_vec(), rest].concat();
                assert_eq!(whole, chunk(&Random(n as u64).bytes(1_500)));
                let info = reader.info().expect("it was read to its end");
                assert_eq!((info.number, info.size as usize), (reader.number(), whole.len()));
                assert_eq!(info.sequence, Some(n as u64));
            }
        }));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    writer.await.expect("the writer ends");
    for reader in readers {
        reader.await.expect("the reader ends");
    }
}

#[tokio::test]
async fn open_fragment_is_read_piece_by_piece_and_ends_when_it_is_persisted() {
    let (store, _) = open(&MemoryDisk::new(), &clock());
    let front = stream(&store, "front");
    let mut cursor = front.cursor(Start::Now);
    assert!(times_out(cursor.next()).await, "nothing has begun");
    let mut writer = front.begin(Bytes::from_static(HEAD), at(0), FORMAT);
    let mut reader = cursor.next().await.expect("it has begun");
    assert_eq!(reader.number(), writer.number());
    for piece in [&b"one"[..], b"two"] {
        assert!(times_out(reader.next_piece()).await);
        writer.push(Bytes::from_static(piece));
        let read = reader.next_piece().await.expect("not torn");
        assert_eq!(read.as_deref(), Some(piece));
    }
    writer.push(Bytes::from_static(b"three"));
    assert!(front.get(reader.number()).is_none(), "it is not persisted");
    let mut late = front.cursor(Start::Server(reader.server())).next().await.expect("it is open");
    let info = writer.finish(Millis(10)).await.expect("persisted");
    // The rest comes from the log: the open fragment's memory is gone.
    assert_eq!(read_rest(&mut reader).await.expect("not torn"), b"three");
    assert_eq!(read_rest(&mut late).await.expect("not torn"), b"onetwothree");
    assert_eq!((reader.info(), late.info()), (Some(info), Some(info)));
}

#[tokio::test]
async fn reader_of_a_fragment_that_is_given_up_is_told_and_the_cursor_moves_on() {
    let (store, _) = open(&MemoryDisk::new(), &clock());
    let front = stream(&store, "front");
    let mut cursor = front.cursor(Start::Earliest);
    let torn = write(&front, 0, b"torn");
    let mut reader = cursor.next().await.expect("it has begun");
    reader.next_piece().await.expect("it has bytes");
    drop(torn);
    let end = read_rest(&mut reader).await;
    assert!(matches!(end, Err(TornFragment::Abandoned)), "{end:?}");
    let info = persist(&front, 10, b"whole").await.expect("persisted");
    assert_eq!(cursor.next().await.expect("the next one").number(), info.number);
    assert_eq!(all_by_producer(&front), [info], "nothing of the torn one is visible");
}

#[tokio::test]
async fn cursor_starts_where_it_is_told() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, _) = open(&disk, &clock);
    let front = stream(&store, "front");
    let mut stored = Vec::new();
    for n in 0..5 {
        // Each is a second long, and begins every two seconds.
        stored.push(persist(&front, 10_000 + n * 2_000, &[n as u8]).await.expect("persisted"));
        clock.advance(Millis(2_000));
    }
    let first = stored[0].server();
    let cases = [
        (Start::Earliest, 0),
        (Start::After(FragmentNumber::MIN), 0),
        (Start::After(stored[2].number), 3),
        (Start::Producer(at(0)), 0),
        (Start::Producer(at(12_000)), 1),
        (Start::Producer(at(12_999)), 1),
        (Start::Producer(at(13_000)), 2),
        (Start::Producer(at(13_500)), 2),
        (Start::Server(first.minus(Millis(1))), 0),
        (Start::Server(first.plus(Millis(4_000))), 2),
        (Start::Server(first.plus(Millis(4_999))), 2),
        (Start::Server(first.plus(Millis(5_000))), 3),
    ];
    for (start, wanted) in cases {
        let found = front.cursor(start).next().await.expect("it is stored");
        assert_eq!(found.number(), stored[wanted].number, "{start:?}");
    }
    for start in [Start::Now, Start::Producer(at(19_000)), Start::After(stored[4].number)] {
        let mut cursor = front.cursor(start);
        assert!(times_out(cursor.next()).await, "{start:?} waits");
        let open = write(&front, 20_000, b"open");
        assert_eq!(cursor.next().await.expect("it has begun").number(), open.number());
    }
}

#[tokio::test]
async fn open_fragment_covers_the_time_since_it_began() {
    let clock = clock();
    let (store, _) = open(&MemoryDisk::new(), &clock);
    let front = stream(&store, "front");
    let open = write(&front, 10_000, b"open");
    clock.advance(Millis(3_000));
    let mut covered = front.cursor(Start::Producer(at(12_000)));
    assert_eq!(covered.next().await.expect("it covers").number(), open.number());
    let mut later = front.cursor(Start::Producer(at(14_000)));
    assert!(times_out(later.next()).await, "it may not get that long");
}

#[tokio::test]
async fn deleted_stream_fails_its_writers_and_readers() {
    let (store, _) = open(&MemoryDisk::new(), &clock());
    let front = stream(&store, "front");
    let arn = new_stream("front", 24).arn;
    let stored = persist(&front, 0, b"stored").await.expect("persisted");
    let mut cursor = front.cursor(Start::Now);
    let writer = write(&front, 1_000, b"open");
    let mut reader = cursor.next().await.expect("it has begun");
    let seen = front.changed(0).await;
    store.catalog().delete(&arn, None).expect("it is deleted");
    assert!(front.changed(seen).await > seen);
    let end = read_rest(&mut reader).await;
    assert!(matches!(end, Err(TornFragment::Read(ReadError::StreamDeleted))), "{end:?}");
    assert!(matches!(cursor.next().await, Err(ReadError::StreamDeleted)));
    assert!(matches!(front.read(stored.number).await, Err(ReadError::StreamDeleted)));
    let finished = writer.finish(Millis(1)).await;
    assert!(matches!(finished, Err(PersistError::StreamDeleted)), "{finished:?}");
    let begun_after = persist(&front, 2_000, b"new").await;
    assert!(matches!(begun_after, Err(PersistError::StreamDeleted)), "{begun_after:?}");
}

#[tokio::test]
async fn large_fragment_is_read_in_pieces_and_checked() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, _) = open(&disk, &clock);
    let front = stream(&store, "front");
    let cluster = Random(1).bytes(3 << 20);
    persist(&front, 0, &cluster).await.expect("persisted");
    let mut reader = front.cursor(Start::Earliest).next().await.expect("stored");
    let first = reader.next_piece().await.expect("whole").expect("there is more");
    assert!(first.len() <= 1 << 20);
    let rest = read_rest(&mut reader).await.expect("whole");
    assert_eq!([reader.head(), &first, &rest[..]].concat(), chunk(&cluster));

    let (file, place) = disk.find(&cluster[2 << 20..][..16]).expect("it is on the disk");
    disk.flip_bit(&file, place);
    let mut reader = front.cursor(Start::Earliest).next().await.expect("stored");
    let end = read_rest(&mut reader).await;
    assert!(matches!(end, Err(TornFragment::Read(ReadError::Damaged(_)))));
}
