//! What one stream should hold: everything that was ever sent to it, and what became of it.

use std::collections::BTreeMap;
use std::pin::Pin;

use super::*;
use crate::store::TornFragment;
use crate::store::log::entry::entry_bytes;
use crate::types::ServerTimestamp;

const HOUR: u64 = 3_600_000;
const TRAILER: &[u8] = b"tags";

type Outcome = Pin<Box<dyn Future<Output = Result<FragmentInfo, PersistError>>>>;

/// A stream, its producers and its readers.
pub struct Slot {
    name: &'static str,
    media: Option<Arc<MediaStream>>,
    hours: u32,
    /// By counter.
    sent: BTreeMap<u64, Sent>,
    /// Bytes of the log that it may take.
    most: Option<u64>,
    pins: Vec<crate::store::Pin>,
    /// Pins and limits leave gaps behind.
    was_thinned: bool,
    /// The largest counter that a reader saw, open or stored.
    shown: u64,
    writers: Vec<FragmentWriter>,
    outcomes: Vec<(u64, bool, Outcome)>,
    readers: Vec<Reader>,
}

/// A fragment that was begun.
#[derive(Clone)]
struct Sent {
    producer: i64,
    format: FormatId,
    server: ServerTimestamp,
    head: &'static [u8],
    cluster: Vec<u8>,
    fate: Fate,
    /// Whether it may be gone.
    expired: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Open,
    /// Handed over; nobody knows yet.
    Handed,
    Acknowledged(FragmentInfo),
    /// Refused, or the store ended before it said anything: it may be there or not.
    Unsure,
    GivenUp,
    /// A flipped bit took it.
    Damaged,
}

struct Reader {
    cursor: Cursor,
    current: Option<(FragmentReader, Vec<u8>)>,
    last: Option<u64>,
}

impl Sent {
    fn chunk(&self) -> Vec<u8> {
        [self.head, &self.cluster, TRAILER].concat()
    }

    fn same_as(&self, other: &Self) -> bool {
        let key = |sent: &Self| (sent.producer, sent.format);
        key(self) == key(other) && self.cluster == other.cluster
    }

    fn acknowledged(&self) -> Option<FragmentInfo> {
        match self.fate {
            Fate::Acknowledged(info) => Some(info),
            _ => None,
        }
    }
}

impl Slot {
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            media: None,
            hours: 24,
            sent: BTreeMap::new(),
            most: None,
            pins: Vec::new(),
            was_thinned: false,
            shown: 0,
            writers: Vec::new(),
            outcomes: Vec::new(),
            readers: Vec::new(),
        }
    }

    /// The store is open (again).
    pub fn opened(&mut self, store: &Store) {
        self.media = Some(stream(store, self.name));
    }

    fn media(&self) -> &Arc<MediaStream> {
        self.media.as_ref().expect("the store is open")
    }

    /// Begins a fragment: a new one, one in the past, or one that was sent before.
    pub fn begin(&mut self, random: &mut Random, now: ServerTimestamp) {
        if super::now(self.media().ready()).is_none() {
            return;
        }
        let again = match random.below(5) {
            0 => self.sent.values().rfind(|sent| !matches!(sent.fate, Fate::Open)).cloned(),
            _ => None,
        };
        let back = if random.below(6) == 0 { random.below(HOUR) as i64 } else { 0 };
        let sent = Sent {
            producer: now.as_millis() - back,
            format: FormatId(1 + u32::from(random.below(10) == 0)),
            server: now,
            head: if random.below(2) == 0 { HEAD } else { b"another head" },
            cluster: Vec::new(),
            fate: Fate::Open,
            expired: false,
        };
        let sent = again.map_or(sent.clone(), |again| Sent {
            producer: again.producer,
            format: again.format,
            cluster: again.cluster,
            ..sent
        });
        let head = Bytes::from_static(sent.head);
        let mut writer = self.media().begin(head, at(sent.producer), sent.format);
        if !sent.cluster.is_empty() {
            writer.push(Bytes::from(sent.cluster.clone()));
        }
        let counter = writer.number().counter();
        assert!(counter > self.shown, "the number {counter} was seen before");
        let server = writer.number().server_timestamp();
        self.sent.insert(counter, Sent { server, ..sent });
        self.writers.push(writer);
    }

    fn writer(&mut self, random: &mut Random) -> Option<usize> {
        let writers = self.writers.len() as u64;
        (writers > 0).then(|| random.below(writers) as usize)
    }

    pub fn push(&mut self, random: &mut Random) {
        let Some(which) = self.writer(random) else { return };
        // Now and then what is larger than a segment.
        let most = if random.below(40) == 0 { 50_000 } else { 6_000 };
        let len = random.below(most);
        let bytes = random.bytes(len);
        let writer = &mut self.writers[which];
        if let Some(sent) = self.sent.get_mut(&writer.number().counter()) {
            sent.cluster.extend_from_slice(&bytes);
        }
        writer.push(Bytes::from(bytes));
    }

    pub fn finish(&mut self, random: &mut Random, store: &Store) {
        let Some(which) = self.writer(random) else { return };
        let mut writer = self.writers.swap_remove(which);
        let counter = writer.number().counter();
        writer.push_trailer(Bytes::from_static(TRAILER));
        self.set_fate(counter, Fate::Handed);
        let refused = store.poisoned().is_some();
        let outcome = Box::pin(writer.finish(Millis(1_000)));
        self.outcomes.push((counter, refused, outcome));
        // One that is stored already is known at once.
        self.take_outcomes(store);
    }

    pub fn give_up(&mut self, random: &mut Random) {
        let Some(which) = self.writer(random) else { return };
        let counter = self.writers.swap_remove(which).number().counter();
        self.set_fate(counter, Fate::GivenUp);
    }

    fn set_fate(&mut self, counter: u64, fate: Fate) {
        if let Some(sent) = self.sent.get_mut(&counter) {
            sent.fate = fate;
        }
    }

    /// Takes what the store has answered by now; a digest of it.
    pub fn take_outcomes(&mut self, store: &Store) -> u64 {
        let mut digest = 0u64;
        for (counter, refused, mut outcome) in std::mem::take(&mut self.outcomes) {
            let Some(answer) = super::now(&mut outcome) else {
                self.outcomes.push((counter, refused, outcome));
                continue;
            };
            digest = digest.wrapping_mul(31).wrapping_add(counter);
            match answer {
                Ok(info) => {
                    let own = info.number.counter() == counter;
                    assert!(!(refused && own), "a store that failed takes nothing");
                    self.acknowledged(counter, info);
                    digest += info.sequence.unwrap_or(7) + u64::from(info.breaks);
                }
                Err(PersistError::NoSpace(_)) if store.poisoned().is_none() => {
                    self.set_fate(counter, Fate::GivenUp);
                }
                Err(PersistError::StreamDeleted) => panic!("the stream is there"),
                Err(_) => {
                    assert!(store.poisoned().is_some(), "only faults refuse a fragment");
                    self.set_fate(counter, Fate::Unsure);
                }
            }
        }
        digest
    }

    fn acknowledged(&mut self, counter: u64, info: FragmentInfo) {
        let own = info.number.counter();
        let sent = self.sent.get(&counter).expect("it was sent").clone();
        let stored = self.sent.get_mut(&own).expect("what is acknowledged was sent");
        assert!(stored.same_as(&sent), "{own} is not the same as {counter}");
        stored.fate = Fate::Acknowledged(info);
        if own != counter {
            self.set_fate(counter, Fate::GivenUp);
        }
        let twins = self.retained().filter(|(_, other)| other.same_as(&sent)).count();
        assert!(twins <= 1, "a fragment that was sent again is stored once");
    }

    /// What must be there.
    fn retained(&self) -> impl Iterator<Item = (FragmentInfo, &Sent)> {
        let retained = self.sent.values().filter(|sent| !sent.expired);
        retained.filter_map(|sent| Some((sent.acknowledged()?, sent)))
    }

    /// A reader comes, or one of those that are there reads on.
    pub fn read(&mut self, random: &mut Random, damaged: bool) {
        if self.readers.len() < 3 && random.below(6) == 0 {
            let known = self.sent.values().next_back();
            let start = match (random.below(5), known) {
                (0, _) => Start::Now,
                (1, Some(sent)) => Start::Producer(at(sent.producer - 1_500)),
                (2, Some(sent)) => Start::Server(sent.server),
                _ => Start::Earliest,
            };
            let cursor = self.media().cursor(start);
            self.readers.push(Reader { cursor, current: None, last: None });
        }
        if self.readers.is_empty() {
            return;
        }
        let which = random.below(self.readers.len() as u64) as usize;
        let mut reader = self.readers.swap_remove(which);
        for _ in 0..1 + random.below(8) {
            match reader.current.take() {
                Some((fragment, bytes)) => reader.current = self.read_on(fragment, bytes, damaged),
                None => self.read_next(&mut reader, damaged),
            }
        }
        self.readers.push(reader);
    }

    fn read_next(&mut self, reader: &mut Reader, damaged: bool) {
        let fragment = match super::now(reader.cursor.next()) {
            Some(Ok(fragment)) => fragment,
            Some(Err(ReadError::Damaged(_))) if damaged => return reader.last = None,
            Some(Err(error)) => panic!("a cursor fails: {error}"),
            None => return,
        };
        let counter = fragment.number().counter();
        if let Some(last) = reader.last {
            assert!(counter > last, "numbers grow");
            let passed = self.retained().map(|(info, _)| info.number.counter());
            let passed: Vec<_> = passed.filter(|n| (last + 1..counter).contains(n)).collect();
            assert!(passed.is_empty(), "{passed:?} between {last} and {counter} were passed over");
        }
        self.shown = self.shown.max(counter);
        reader.last = Some(counter);
        reader.current = Some((fragment, Vec::new()));
    }

    fn read_on(
        &mut self,
        mut fragment: FragmentReader,
        mut bytes: Vec<u8>,
        damaged: bool,
    ) -> Option<(FragmentReader, Vec<u8>)> {
        let piece = super::now(fragment.next_piece());
        let sent = self.sent.get(&fragment.number().counter()).expect("what is read was sent");
        match piece {
            None => {}
            Some(Ok(Some(piece))) => {
                bytes.extend_from_slice(&piece);
                let read = [fragment.head(), &bytes[..]].concat();
                assert!(sent.chunk().starts_with(&read), "other bytes are read than were sent");
            }
            Some(Ok(None)) => {
                assert_eq!([fragment.head(), &bytes[..]].concat(), sent.chunk());
                assert!(sent.acknowledged().is_some(), "{:?} was read whole", sent.fate);
                return None;
            }
            Some(Err(TornFragment::Abandoned)) => {
                assert!(matches!(sent.fate, Fate::GivenUp | Fate::Unsure), "{:?}", sent.fate);
                return None;
            }
            Some(Err(TornFragment::Read(ReadError::NotFound))) => {
                assert!(sent.expired, "only what expired is not found");
                return None;
            }
            Some(Err(error)) => {
                assert!(damaged, "reading fails: {error}");
                return None;
            }
        }
        Some((fragment, bytes))
    }

    /// Compares all that the stream shows with what it should; `gaps` in its playlist are excused.
    pub fn check(&mut self, gaps: bool) {
        let media = self.media().clone();
        let listed = all_by_server(&media);
        let present = |info: &FragmentInfo| listed.contains(info);
        for (info, _) in self.retained() {
            assert!(present(&info), "acknowledged and gone: {info:?}");
            assert_eq!(media.get(info.number), Some(info));
            let (from, to) = (info.producer, info.producer);
            assert!(media.list(Order::Producer { from, to }, None, usize::MAX).contains(&info));
            let (from, to) = (info.server(), info.server());
            assert!(media.list(Order::Server { from, to }, None, usize::MAX).contains(&info));
        }
        for info in &listed {
            let fate = self.sent.get(&info.number.counter()).map(|sent| sent.fate);
            let known = matches!(fate, Some(Fate::Acknowledged(known)) if known == *info);
            assert!(known || fate == Some(Fate::Damaged), "a phantom: {info:?} is {fate:?}");
        }
        let mut by_producer = all_by_producer(&media);
        assert!(by_producer.is_sorted_by_key(|info| (info.producer, info.number)));
        by_producer.sort_by_key(|info| info.number);
        assert_eq!(by_producer, listed, "both clocks find the same");
        if !gaps && !self.was_thinned {
            check_playlist(&media.newest(usize::MAX));
        }
    }

    /// Reads all that is listed after an opening, and settles what nobody knew. Returns how many
    /// fragments damage has taken.
    pub fn check_opened(&mut self, damaged: bool, gaps: bool) -> usize {
        let media = self.media().clone();
        let mut lost = 0;
        let listed = all_by_server(&media);
        for info in &listed {
            let sent = self.sent.get_mut(&info.number.counter()).expect("what is listed was sent");
            match super::now(media.read(info.number)).expect("reads do not wait") {
                Ok(chunk) => {
                    assert_eq!(chunk.bytes, sent.chunk());
                    assert!(
                        matches!(sent.fate, Fate::Acknowledged(_) | Fate::Unsure | Fate::Damaged),
                        "{info:?} appears and was {:?}",
                        sent.fate
                    );
                    sent.fate = Fate::Acknowledged(*info);
                }
                Err(ReadError::Damaged(_)) if damaged => {
                    lost += 1;
                    sent.fate = Fate::Damaged;
                }
                Err(error) => panic!("what is listed is not readable: {error}"),
            }
        }
        for sent in self.sent.values_mut() {
            let gone = |info: FragmentInfo| !listed.contains(&info);
            match sent.fate {
                Fate::Unsure => sent.fate = Fate::GivenUp,
                Fate::Acknowledged(info) if gone(info) && !sent.expired => {
                    assert!(damaged, "acknowledged and gone: {info:?}");
                    lost += 1;
                    sent.fate = Fate::GivenUp;
                }
                Fate::Damaged => {
                    lost += usize::from(!listed.iter().any(|i| i.server() == sent.server))
                }
                _ => {}
            }
        }
        if damaged {
            // The place that knew of the numbers may be what is damaged.
            self.shown = media.bounds().map_or(0, |(_, newest)| newest.number.counter());
        }
        self.check(gaps);
        lost
    }

    fn change(&self, store: &Store, change: impl FnOnce(&mut StreamInfo)) {
        super::pins::change(store, self.name, change);
    }

    pub fn set_retention(&mut self, store: &Store, hours: u32) {
        self.change(store, |info| info.retention_hours = hours);
        self.hours = hours;
    }

    /// Limits the stream's bytes; 0 is no limit.
    pub fn set_most(&mut self, store: &Store, bytes: Option<u64>) {
        self.most = bytes.filter(|bytes| *bytes > 0);
        self.change(store, |info| info.max_bytes = self.most);
    }

    /// Pins what was sent lately, or unpins all.
    pub fn set_pin(&mut self, random: &mut Random, store: &Store) {
        self.pins.clear();
        if let Some(last) = self.sent.values().next_back()
            && random.below(3) > 0
        {
            let (back, len) = (random.below(2 * HOUR) as i64, random.below(HOUR) as i64);
            let from = last.producer - back;
            self.pins.push(super::pins::pin(from, from + len));
            self.was_thinned = true;
        }
        self.change(store, |info| info.pins = self.pins.clone());
    }

    fn pinned(&self, sent: &Sent) -> bool {
        let (from, to) = (at(sent.producer), at(sent.producer + 1_000));
        self.pins
            .iter()
            .any(|pin| pin.from <= from && from <= pin.to || from <= pin.from && pin.from < to)
    }

    /// Retention is about to be enforced, when all that was handed over is stored or refused.
    pub fn expire(&mut self, now: ServerTimestamp) {
        let horizon = now.minus(Millis(u64::from(self.hours) * HOUR));
        // What pins have held below goes with its pin, also where the quota would have taken it.
        let passed = self.media().state().kept().from;
        let mut bytes = 0;
        let mut expired = Vec::new();
        for (&counter, sent) in self.sent.iter().rev() {
            bytes += sent.acknowledged().map_or(0, |info| entry_bytes(u64::from(info.size)));
            let crowded = self.most.is_some_and(|most| bytes > most);
            let over = sent.server < horizon || crowded || counter < passed;
            if over && !self.pinned(sent) {
                expired.push(counter);
            }
            self.was_thinned |= crowded;
        }
        for counter in expired {
            self.sent.entry(counter).and_modify(|sent| sent.expired = true);
        }
    }

    /// Takes note of what went though it had not expired; the newest of that.
    pub fn evicted(&mut self) -> Option<ServerTimestamp> {
        let listed = all_by_server(self.media());
        let there = |info: &FragmentInfo| listed.contains(info);
        let gone = self.retained().filter(|(info, _)| !there(info));
        let gone: Vec<_> = gone.map(|(info, sent)| (info, self.pinned(sent))).collect();
        for (info, pinned) in &gone {
            assert!(!pinned, "a pinned one went: {info:?}");
            self.sent.entry(info.number.counter()).and_modify(|sent| sent.expired = true);
            self.was_thinned = true;
        }
        // What is being received goes as soon as it is there.
        let from = self.media().state().kept().from;
        for sent in self.sent.range_mut(..from).map(|(_, sent)| sent) {
            sent.expired |= sent.acknowledged().is_none();
        }
        gone.iter().map(|(info, _)| info.server()).max()
    }

    /// The server time of the oldest that is there and could go.
    pub fn oldest_unpinned(&self) -> Option<ServerTimestamp> {
        let unpinned = self.retained().filter(|(_, sent)| !self.pinned(sent));
        unpinned.map(|(info, _)| info.server()).min()
    }

    /// Deletes the stream; a new one takes its name.
    pub fn delete(&mut self, store: &Store) {
        let old = self.media().clone();
        let info = store.catalog().by_name(&self.name.parse().expect("a name")).expect("it exists");
        store.catalog().delete(&info.arn, None).expect("it is deleted");
        assert_eq!(all_by_server(&old), []);
        for mut reader in std::mem::take(&mut self.readers) {
            let end = super::now(reader.cursor.next());
            assert!(matches!(end, Some(Err(ReadError::StreamDeleted))), "{end:?}");
        }
        *self = Self::new(self.name);
        self.opened(store);
    }

    /// Producers and readers go away in order.
    pub fn let_go(&mut self) {
        for writer in std::mem::take(&mut self.writers) {
            let counter = writer.number().counter();
            drop(writer);
            self.set_fate(counter, Fate::GivenUp);
        }
        self.readers.clear();
        self.media = None;
    }

    /// The process ended, at once.
    pub fn crashed(&mut self) {
        self.let_go();
        for (counter, _, _) in std::mem::take(&mut self.outcomes) {
            self.set_fate(counter, Fate::Unsure);
        }
    }
}

/// A gap in time is a break of the live playlist, and nothing else is.
fn check_playlist(newest: &[FragmentInfo]) {
    for pair in newest.windows(2) {
        let (before, after) = (pair[0], pair[1]);
        assert_eq!(after.sequence, before.sequence.map(|n| n + 1), "sequences have no gaps");
        let end = before.producer.plus(before.duration);
        let apart = after.producer.since(end).max(end.since(after.producer));
        let broken = apart > Millis(50) || before.format != after.format;
        assert_eq!(after.breaks - before.breaks, u32::from(broken), "{before:?} {after:?}");
    }
}
