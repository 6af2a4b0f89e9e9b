//! What streams exist.

use super::*;

#[test]
fn one_of_several_racing_creates_succeeds() {
    let (store, _) = open(&MemoryDisk::new(), &clock());
    let created = std::thread::scope(|scope| {
        let create = || store.catalog().create(new_stream("front", 1));
        let racers: Vec<_> = (0..8).map(|_| scope.spawn(create)).collect();
        racers.into_iter().filter_map(|racer| racer.join().expect("no panic").ok()).count()
    });
    assert_eq!(created, 1);
    let again = store.catalog().create(new_stream("front", 1));
    assert!(matches!(again, Err(CatalogError::Exists(name)) if name.as_str() == "front"));
}

#[test]
fn changes_need_the_current_version_and_the_whole_arn() {
    let (disk, clock) = (MemoryDisk::new(), clock());
    let (store, _) = open(&disk, &clock);
    let first = store.catalog().create(new_stream("front", 1)).expect("it is created");
    assert_eq!(first.version.len(), 20);
    assert!(first.version.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let grow = |info: &mut StreamInfo| {
        info.retention_hours += 1;
        Ok::<_, CatalogError>(())
    };
    let (catalog, arn) = (store.catalog(), &first.arn);
    let stale = catalog.update(arn, Some("stale"), true, grow);
    assert!(matches!(stale, Err(CatalogError::VersionMismatch { given }) if given == "stale"));
    let second = catalog.update(arn, Some(&first.version), true, grow).expect("it is changed");
    assert_ne!(second.version, first.version);
    let third = catalog.update(arn, None, false, grow).expect("it is changed");
    assert_eq!((&third.version, third.retention_hours), (&second.version, 3));

    let earlier = Arn { created_ms: 0, ..first.arn.clone() };
    assert!(matches!(catalog.update(&earlier, None, true, grow), Err(CatalogError::NotFound)));
    assert!(matches!(catalog.delete(&earlier, None), Err(CatalogError::NotFound)));
    let stale = catalog.delete(arn, Some(&first.version));
    assert!(matches!(stale, Err(CatalogError::VersionMismatch { .. })));

    drop(store);
    let (store, _) = open(&disk, &clock);
    let found = store.catalog().by_name(first.name()).expect("it was kept");
    assert_eq!((&found.version, found.retention_hours), (&third.version, 3));
    store.catalog().delete(&first.arn, Some(&third.version)).expect("it is deleted");
    assert!(store.media(first.id).is_none());
    let next = store.catalog().create(new_stream("front", 1)).expect("the name is free");
    assert_ne!(next.id, first.id, "ids are never used again");
}

#[test]
fn refused_change_changes_nothing() {
    let (store, _) = open(&MemoryDisk::new(), &clock());
    let info = store.catalog().create(new_stream("front", 1)).expect("it is created");
    let refuse = |info: &mut StreamInfo| {
        info.retention_hours = 99;
        Err(CatalogError::NotFound)
    };
    assert!(store.catalog().update(&info.arn, None, true, refuse).is_err());
    let found = store.catalog().by_name(info.name()).expect("it is there");
    assert_eq!((found.retention_hours, &found.version), (1, &info.version));
}

#[test]
fn listing_goes_by_name_in_pages_with_a_prefix() {
    let (store, _) = open(&MemoryDisk::new(), &clock());
    for name in ["b2", "a", "b1", "c", "b3"] {
        stream(&store, name);
    }
    let names = |prefix: &str, after: Option<&str>, limit: usize| {
        let after = after.map(|name| name.parse().expect("a valid name"));
        let page = store.catalog().list(prefix, after.as_ref(), limit);
        page.iter().map(|info| info.name().as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("", None, 9), ["a", "b1", "b2", "b3", "c"]);
    assert_eq!(names("b", None, 2), ["b1", "b2"]);
    assert_eq!(names("b", Some("b2"), 2), ["b3"]);
    assert_eq!(names("b", Some("a"), 1), ["b1"]);
    assert_eq!(names("b", Some("c"), 9), [] as [&str; 0]);
}
