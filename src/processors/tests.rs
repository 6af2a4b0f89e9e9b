//! The life of a processor, on a disk in memory.

use super::*;
use crate::store;
use crate::store::disk::MemoryDisk;

struct Bench {
    disk: MemoryDisk,
    clock: Clock,
}

impl Bench {
    fn new() -> Self {
        let start = ServerTimestamp::from_millis(1_700_000_000_000);
        Self { disk: MemoryDisk::new(), clock: Clock::simulated(start) }
    }

    fn open(&self) -> Processors {
        let (disk, options) = (Arc::new(self.disk.clone()), store::Options::default());
        let (store, _) = Store::open_on(disk, options, self.clock.clone()).expect("it opens");
        Processors::new(Arc::new(store), self.clock.clone())
    }
}

fn door() -> NewProcessor {
    NewProcessor {
        name: "door".to_owned(),
        stream_arn: "arn:aws:kinesisvideo:us-east-1:000000000000:stream/front/1".to_owned(),
        output: "findings".to_owned(),
        collection: "people".to_owned(),
        threshold: Some(80.0),
        regions: Vec::new(),
        role_arn: "arn:aws:iam::000000000000:role/any".to_owned(),
        kms_key_id: None,
        notification_topic_arn: None,
        data_sharing: None,
        tags: BTreeMap::new(),
    }
}

fn running(generation: u64) -> Report {
    Report { generation, ..Report::default() }
}

fn at(generation: u64, checkpoint: &str) -> Report {
    Report { checkpoint: Some(checkpoint.to_owned()), ..running(generation) }
}

fn status(processors: &Processors) -> Status {
    processors.get("door").expect("it is there").facts.status
}

#[test]
fn processor_goes_from_start_to_stop_by_its_runners_reports() {
    let bench = Bench::new();
    let processors = bench.open();
    processors.create(door()).expect("created");
    assert_eq!(processors.create(door()), Err(ProcessorError::Exists("door".to_owned())));
    assert_eq!(status(&processors), Status::Stopped);

    let started = processors.start("door", None, None).expect("started");
    assert_eq!((started.status, started.generation), (Status::Starting, 1));
    assert_eq!(processors.report("door", running(1)), Ok(true));
    assert_eq!(status(&processors), Status::Running);
    let busy = ProcessorError::Busy { name: "door".to_owned(), status: Status::Running };
    assert_eq!(processors.start("door", None, None), Err(busy.clone()));
    assert_eq!(processors.delete("door"), Err(busy));

    processors.stop("door").expect("stopping");
    assert_eq!(status(&processors), Status::Stopping);
    assert_eq!(processors.report("door", running(1)), Ok(false));
    let stopped = Report { outcome: Outcome::Stopped, ..running(1) };
    assert_eq!(processors.report("door", stopped), Ok(false));
    assert_eq!(status(&processors), Status::Stopped);
    processors.delete("door").expect("deleted");
    assert_eq!(processors.get("door"), Err(ProcessorError::NotFound("door".to_owned())));
}

#[test]
fn processor_whose_runner_is_gone_is_stopped_after_ten_seconds() {
    let bench = Bench::new();
    let processors = bench.open();
    processors.create(door()).expect("created");
    processors.start("door", None, None).expect("started");
    processors.report("door", running(1)).expect("reported");
    processors.stop("door").expect("stopping");
    bench.clock.advance(Millis(6_000));
    processors.report("door", running(1)).expect("reported");
    bench.clock.advance(Millis(9_999));
    assert_eq!(status(&processors), Status::Stopping);
    bench.clock.advance(Millis(1));
    assert_eq!(status(&processors), Status::Stopped);
    let again = processors.start("door", None, None).expect("started");
    assert_eq!(again.generation, 2);
}

#[test]
fn run_ends_by_itself_after_the_seconds_it_was_given() {
    let bench = Bench::new();
    let processors = bench.open();
    processors.create(door()).expect("created");
    processors.start("door", None, Some(60)).expect("started");
    bench.clock.advance(Millis(59_000));
    assert_eq!(processors.report("door", running(1)), Ok(true));
    bench.clock.advance(Millis(1_000));
    assert_eq!(processors.report("door", running(1)), Ok(false));
    assert_eq!(status(&processors), Status::Stopping);
    let stopped = Report { outcome: Outcome::Stopped, ..running(1) };
    assert_eq!(processors.report("door", stopped), Ok(false));
    assert_eq!(status(&processors), Status::Stopped);
}

#[test]
fn report_of_an_earlier_start_changes_nothing() {
    let bench = Bench::new();
    let processors = bench.open();
    processors.create(door()).expect("created");
    processors.start("door", None, None).expect("started");
    let failed =
        Report { outcome: Outcome::Failed, message: "no such codec".to_owned(), ..running(1) };
    assert_eq!(processors.report("door", failed.clone()), Ok(false));
    let seen = processors.get("door").expect("it is there").facts;
    assert_eq!((seen.status, seen.message.as_str()), (Status::Failed, "no such codec"));

    processors.start("door", None, None).expect("started again");
    assert_eq!(processors.report("door", failed), Ok(false));
    let seen = processors.get("door").expect("it is there").facts;
    assert_eq!((seen.status, seen.message.as_str()), (Status::Starting, ""));
}

#[test]
fn running_processors_and_their_checkpoints_survive_a_restart() {
    let bench = Bench::new();
    let processors = bench.open();
    processors.create(door()).expect("created");
    let start = Some(Start::Fragment("3".to_owned()));
    processors.start("door", start.clone(), Some(60)).expect("started");
    processors.report("door", at(1, "5")).expect("reported");
    processors.report("door", at(1, "6")).expect("reported");
    let newest = processors.get("door").expect("it is there");
    assert_eq!(newest.facts.checkpoint.as_deref(), Some("6"));
    drop(processors);

    let processors = bench.open();
    let kept = processors.get("door").expect("it was kept").facts;
    assert_eq!((kept.status, kept.generation), (Status::Running, 1));
    // The second came within five seconds of the first, which was made durable.
    assert_eq!(kept.checkpoint.as_deref(), Some("5"));
    assert_eq!((kept.start, kept.stop_after_seconds), (start, Some(60)));
    bench.clock.advance(CHECKPOINT_INTERVAL);
    assert_eq!(processors.report("door", at(1, "9")), Ok(true));
    drop(processors);
    let kept = bench.open().get("door").expect("it was kept").facts;
    assert_eq!(kept.checkpoint.as_deref(), Some("9"));
}

#[test]
fn start_goes_on_behind_the_checkpoint_only_where_nothing_may_be_skipped() {
    let bench = Bench::new();
    let processors = bench.open();
    processors.create(door()).expect("created");
    let run = |checkpoint: &str| {
        let started = processors.start("door", None, None).expect("started");
        let stopped = Report { outcome: Outcome::Stopped, ..at(started.generation, checkpoint) };
        processors.report("door", stopped).expect("reported");
        started.checkpoint
    };
    assert_eq!(run("5"), None);
    assert_eq!(run("7"), None);
    let complete = |facts: &mut Processor| facts.options.policy = Policy::Complete;
    processors.update("door", complete).expect("changed");
    assert_eq!(run("9").as_deref(), Some("7"));
    let start = Some(Start::ProducerMillis(1));
    let started = processors.start("door", start, None).expect("started");
    assert_eq!(started.checkpoint, None);
}

#[test]
fn change_of_settings_leaves_the_state_alone() {
    let bench = Bench::new();
    let processors = bench.open();
    processors.create(door()).expect("created");
    processors.start("door", None, None).expect("started");
    bench.clock.advance(Millis(1000));
    let changed = processors.update("door", |facts| {
        facts.settings.threshold = Some(90.0);
        facts.options.max_fps = 2.0;
        facts.name = "other".to_owned();
        facts.settings.name = "other".to_owned();
        facts.status = Status::Failed;
    });
    let changed = changed.expect("changed");
    assert_eq!((changed.name.as_str(), changed.status), ("door", Status::Starting));
    assert_eq!((changed.settings.threshold, changed.options.max_fps), (Some(90.0), 2.0));
    assert_eq!(changed.updated, bench.clock.now());
}
