//! Numbers that somebody saw are never given again.

use super::*;

#[tokio::test]
async fn numbers_that_live_readers_saw_never_come_again_however_many_were_given_up() {
    let (mut disk, clock) = (MemoryDisk::new(), clock());
    let mut last = 0;
    for _ in 0..3 {
        let (store, _) = open(&disk, &clock);
        let front = stream(&store, "front");
        let mut reader = front.cursor(Start::Now);
        // Far more than one step of the counter, and none of them is ever persisted.
        for n in 0..3_500 {
            let open = write(&front, n, b"never finished");
            let seen = reader.next().await.expect("it is shown once its number is safe");
            assert_eq!(seen.number(), open.number());
            assert!(seen.number().counter() > last, "{} was seen before", seen.number());
            last = seen.number().counter();
        }
        disk = disk.kill();
        drop((front, store));
    }
}

#[tokio::test]
async fn fragment_whose_number_is_not_safe_yet_is_not_shown() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, _) = open(&disk, &clock);
    persist(&stream(&store, "front"), 0, b"first").await.expect("persisted");
    drop(store);
    let (store, _) = open(&disk, &clock);
    let front = stream(&store, "front");
    disk.set_stalled(true);
    let mut cursor = front.cursor(Start::Now);
    let open = write(&front, 1_000, b"second");
    tokio::time::timeout(std::time::Duration::from_millis(50), cursor.next())
        .await
        .expect_err("a crash now would give its number again");
    disk.set_stalled(false);
    assert_eq!(cursor.next().await.expect("shown").number(), open.number());
}
