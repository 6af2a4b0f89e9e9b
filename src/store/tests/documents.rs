//! Small documents of the layers above.

use super::*;
use crate::store::catalog::STREAMS;
use crate::store::check::check;
use crate::store::disk::{Disk, FileDisk};

fn texts(store: &Store, kind: &str) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let all = store.documents().list(kind);
    all.into_iter().map(|(key, document)| (key, text(&document))).collect()
}

fn pair(key: &str, text: &str) -> (String, String) {
    (key.to_owned(), text.to_owned())
}

#[test]
fn documents_are_kept_by_kind_and_key_across_a_crash() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, _) = open(&disk, &clock);
    let documents = store.documents();
    documents.put("rule", "b", b"1".to_vec()).expect("written");
    documents.put("rule", "a", b"2".to_vec()).expect("written");
    documents.put("rule", "b", b"3".to_vec()).expect("written again");
    documents.put("processor", "b", b"4".to_vec()).expect("written");
    assert_eq!(documents.delete("rule", "a"), Ok(true));
    assert_eq!(documents.delete("rule", "a"), Ok(false));
    let (store, _) = open(&disk.crash(|| false), &clock);
    assert_eq!(texts(&store, "rule"), [pair("b", "3")]);
    assert_eq!(store.documents().get("processor", "b").as_deref(), Some(&b"4"[..]));
    assert_eq!(store.documents().get("processor", "a"), None);
}

#[test]
fn changes_of_one_document_follow_each_other_and_may_refuse() {
    let (store, _) = open(&MemoryDisk::new(), &clock());
    let documents = store.documents();
    let count = |now: Option<&[u8]>| {
        let next = now.map_or(1, |now| now[0] + 1);
        Ok::<_, DocumentError>((Change::Put(vec![next]), next))
    };
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| documents.update("counter", "one", count).expect("counted"));
        }
    });
    assert_eq!(documents.get("counter", "one").as_deref(), Some(&[8][..]));
    let refuse = |_: Option<&[u8]>| Err::<(Change, ()), _>(DocumentError::Key(0));
    assert_eq!(documents.update("counter", "one", refuse), Err(DocumentError::Key(0)));
    let look = |now: Option<&[u8]>| Ok::<_, DocumentError>((Change::Keep, now.is_some()));
    assert_eq!(documents.update("counter", "one", look), Ok(true));
    assert_eq!(documents.get("counter", "one").as_deref(), Some(&[8][..]));
}

#[test]
fn documents_that_are_too_large_or_have_no_key_are_refused() {
    let (store, _) = open(&MemoryDisk::new(), &clock());
    let documents = store.documents();
    let large = MAX_DOCUMENT_BYTES + 1;
    assert_eq!(documents.put("rule", "", vec![1]), Err(DocumentError::Key(0)));
    assert_eq!(documents.put("rule", "a", vec![1; large]), Err(DocumentError::TooLarge(large)));
    let room = MAX_DOCUMENTS_BYTES / MAX_DOCUMENT_BYTES;
    let put = |n: usize| documents.put("rule", &n.to_string(), vec![1; MAX_DOCUMENT_BYTES]);
    let full = (0..=room).find_map(|n| put(n).err());
    assert_eq!(full, Some(DocumentError::Full("rule".to_owned())));
    assert_eq!(documents.delete("rule", "0"), Ok(true));
    documents.put("rule", "a", vec![1]).expect("there is room again");
}

#[test]
fn repair_of_a_catalog_keeps_its_documents() {
    let dir = tempfile::tempdir().expect("a directory");
    let opened = || Store::open(dir.path(), options(), clock()).expect("the store opens").0;
    opened().documents().put("rule", "a", b"1".to_vec()).expect("written");
    {
        let database = FileDisk::new(dir.path()).catalog().expect("the catalog opens");
        let change = database.begin_write().expect("a change");
        let mut streams = change.open_table(STREAMS).expect("the table of streams");
        streams.insert(7, &b"no JSON"[..]).expect("a broken row");
        drop(streams);
        change.commit().expect("committed");
    }
    let report = check(dir.path(), true, &mut |_| {}).expect("it can be repaired");
    assert!(!report.damage.is_empty(), "the broken row is told");
    assert_eq!(texts(&opened(), "rule"), [pair("a", "1")]);
}
