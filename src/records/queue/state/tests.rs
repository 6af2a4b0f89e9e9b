//! The machine beside a model that keeps every record and is obviously right.

use proptest::prelude::*;

use super::*;

const SHARDS: [StreamId; 2] = [StreamId(4), StreamId(9)];
const LONG: Millis = Millis(1_000);

fn at(millis: i64) -> ServerTimestamp {
    ServerTimestamp::from_millis(millis)
}

/// A machine with one shard of so many records.
fn machine(records: u64) -> State {
    let mut state = State::default();
    let mut events = Vec::new();
    state.begin(SHARDS[0], 1, &mut events);
    state.observe(SHARDS[0], 1, records + 1, &mut events);
    state
}

/// Takes and delivers up to `limit` records.
fn receive(state: &mut State, kind: Kind, limit: usize, now: i64) -> Vec<Delivery> {
    let places = state.take(kind, limit, at(now), &mut Vec::new());
    let deliver = |place| state.deliver(place, 100, LONG, at(now), &mut Vec::new());
    places.into_iter().filter_map(deliver).collect()
}

fn indices(deliveries: &[Delivery]) -> Vec<u64> {
    deliveries.iter().map(|delivery| delivery.receipt.place.index).collect()
}

#[test]
fn record_is_invisible_until_its_time_ends_and_then_comes_again() {
    let mut state = machine(1);
    let first = receive(&mut state, Kind::Live, 10, 0);
    assert_eq!((first[0].receives, first[0].first), (1, at(0)));
    assert_eq!(receive(&mut state, Kind::Live, 10, 999), []);
    assert_eq!(state.next_visible(), Some(at(1_000)));
    let second = receive(&mut state, Kind::Live, 10, 1_000);
    assert_eq!((second[0].receives, second[0].first), (2, at(0)));
    assert_eq!(state.acknowledge(first[0].receipt, &mut Vec::new()), Err(Stale));
    assert_eq!(state.acknowledge(second[0].receipt, &mut Vec::new()), Ok(()));
    assert_eq!(receive(&mut state, Kind::Live, 10, 9_000), []);
    assert_eq!(state.counts(at(9_000), &mut Vec::new()), Counts::default());
}

#[test]
fn record_received_as_often_as_allowed_becomes_a_dead_letter_that_can_be_restored() {
    let mut state = machine(1);
    state.set_max_receives(Some(2));
    receive(&mut state, Kind::Live, 1, 0);
    let last = receive(&mut state, Kind::Live, 1, 1_000);
    assert_eq!(receive(&mut state, Kind::Dead, 1, 1_999), [], "its last receiver has it still");
    let dead = receive(&mut state, Kind::Dead, 1, 2_000);
    assert_eq!((dead[0].receives, dead[0].receipt.dead), (3, true));
    assert_eq!(receive(&mut state, Kind::Live, 1, 9_000), []);
    assert_eq!(state.restore(last[0].receipt, &mut Vec::new()), Err(Stale));
    assert_eq!(state.restore(dead[0].receipt, &mut Vec::new()), Ok(()));
    let again = receive(&mut state, Kind::Live, 1, 9_000);
    assert_eq!((again[0].receives, again[0].first), (1, at(9_000)));
    assert_eq!(state.acknowledge(dead[0].receipt, &mut Vec::new()), Err(Stale));
}

#[test]
fn receipt_of_a_live_record_cannot_be_used_to_restore() {
    let mut state = machine(1);
    let live = receive(&mut state, Kind::Live, 1, 0);
    assert_eq!(state.restore(live[0].receipt, &mut Vec::new()), Err(Stale));
}

#[test]
fn records_that_fail_again_and_again_do_not_keep_others_waiting() {
    let mut state = machine(100);
    let mut seen = BTreeSet::new();
    for now in 0..200 {
        for delivery in receive(&mut state, Kind::Live, 1, now) {
            seen.insert(delivery.receipt.place.index);
            let receipt = delivery.receipt;
            state
                .set_visibility(receipt, Millis(0), at(now), &mut Vec::new())
                .expect("it was just received");
        }
    }
    assert_eq!(seen.len(), 100);
}

#[test]
fn limit_that_was_lowered_holds_for_what_is_visible_already() {
    let mut state = machine(1);
    receive(&mut state, Kind::Live, 1, 0);
    receive(&mut state, Kind::Live, 1, 1_000);
    state.counts(at(2_000), &mut Vec::new());
    state.set_max_receives(Some(1));
    assert_eq!(receive(&mut state, Kind::Live, 1, 2_000), []);
    assert_eq!(receive(&mut state, Kind::Dead, 1, 2_000).len(), 1);
}

#[test]
fn what_expires_drops_out_wherever_it_is() {
    let mut state = machine(6);
    state.set_max_receives(Some(1));
    receive(&mut state, Kind::Live, 1, 0);
    let flying = receive(&mut state, Kind::Live, 1, 1_000);
    let taken = state.take(Kind::Live, 1, at(1_000), &mut Vec::new());
    let mut events = Vec::new();
    state.observe(SHARDS[0], 5, 7, &mut events);
    assert_eq!(events, [Event::From { shard: SHARDS[0], index: 5 }]);
    assert_eq!(state.acknowledge(flying[0].receipt, &mut Vec::new()), Err(Stale));
    assert_eq!(state.deliver(taken[0], 1, LONG, at(1_000), &mut Vec::new()), None);
    state.put_back(taken[0]);
    assert_eq!(state.counts(at(9_000), &mut Vec::new()), Counts::default());
    assert_eq!(indices(&receive(&mut state, Kind::Live, 10, 9_000)), [5, 6]);
}

#[test]
fn too_many_in_flight_are_told_and_end_with_an_acknowledgement() {
    let mut state = machine(MAX_IN_FLIGHT as u64 + 5);
    let all = receive(&mut state, Kind::Live, usize::MAX, 0);
    assert_eq!(all.len(), MAX_IN_FLIGHT);
    assert!(state.is_full());
    state.acknowledge(all[0].receipt, &mut Vec::new()).expect("it was just received");
    assert!(!state.is_full());
    assert_eq!(receive(&mut state, Kind::Live, 10, 1).len(), 1);
}

#[test]
fn journal_that_skips_absurdly_many_records_takes_no_more_memory_for_it() {
    let mut state = machine(0);
    for (shard, index) in [(SHARDS[0], u64::MAX), (StreamId(77), u64::MAX - 5)] {
        state.apply(Event::Settled(Place { shard, index }));
        assert_eq!(state.unsettled(), MAX_UNSETTLED + MAX_IN_FLIGHT);
    }
}

/// A record as the model keeps it.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    receives: u32,
    first: ServerTimestamp,
    visible: Option<ServerTimestamp>,
    receipt: Option<Receipt>,
    dead: bool,
    gone: bool,
    taken: bool,
}

struct Model {
    state: State,
    now: i64,
    max: Option<u32>,
    known: BTreeMap<Place, Known>,
    taken: Vec<(Kind, Place)>,
    receipts: Vec<Receipt>,
    first: [u64; 2],
    end: [u64; 2],
    journal: Vec<Event>,
}

impl Model {
    fn new(max: Option<u32>) -> Self {
        let (mut state, mut journal) = (State::default(), Vec::new());
        state.set_max_receives(max);
        SHARDS.iter().for_each(|&shard| state.begin(shard, 1, &mut journal));
        Self {
            state,
            now: 0,
            max,
            known: BTreeMap::new(),
            taken: Vec::new(),
            receipts: Vec::new(),
            first: [1; 2],
            end: [1; 2],
            journal,
        }
    }

    fn observe(&mut self) {
        for (which, &shard) in SHARDS.iter().enumerate() {
            self.state.observe(shard, self.first[which], self.end[which], &mut self.journal);
        }
        let counts = self.state.counts(at(self.now), &mut self.journal);
        let now = at(self.now);
        for known in self.known.values_mut().filter(|known| !known.gone && !known.taken) {
            let tired = self.max.is_some_and(|max| known.receives >= max);
            known.dead |= tired && known.visible.is_none_or(|visible| visible <= now);
        }
        let dead = self.known.values().filter(|known| !known.gone && known.dead).count();
        assert_eq!(counts.dead, dead);
    }

    fn put(&mut self, which: usize) {
        let place = Place { shard: SHARDS[which], index: self.end[which] };
        self.known.insert(place, Known::default());
        self.end[which] += 1;
    }

    fn expire(&mut self, which: usize) {
        if self.first[which] < self.end[which] {
            let place = Place { shard: SHARDS[which], index: self.first[which] };
            self.known.get_mut(&place).expect("it was put").gone = true;
            self.first[which] += 1;
        }
    }

    fn take(&mut self, kind: Kind, limit: usize) {
        let now = at(self.now);
        let free = |known: &Known| {
            let visible = known.visible.is_none_or(|visible| visible <= now);
            !known.gone && !known.taken && visible && known.dead == (kind == Kind::Dead)
        };
        let waiting = self.known.values().filter(|known| free(known)).count();
        let places = self.state.take(kind, limit, now, &mut self.journal);
        assert_eq!(places.len(), waiting.min(limit), "none is withheld");
        for place in places {
            let known = self.known.get_mut(&place).expect("it was put");
            assert!(free(known), "{place:?} {known:?} is nobody else's");
            known.taken = true;
            self.taken.push((kind, place));
        }
    }

    fn deliver(&mut self, visibility: u64) {
        let Some((kind, place)) = self.taken.pop() else { return };
        let (visibility, now) = (Millis(visibility), at(self.now));
        let delivery = self.state.deliver(place, 7, visibility, now, &mut self.journal);
        let known = self.known.get_mut(&place).expect("it was put");
        assert_eq!(delivery.is_some(), !known.gone && known.taken);
        let Some(Delivery { receipt, receives, first }) = delivery else { return };
        if known.receives == 0 {
            known.first = now;
        }
        known.receives += 1;
        known.visible = Some(now.plus(visibility));
        known.taken = false;
        assert_eq!((receives, first), (known.receives, known.first));
        assert_eq!(receipt.dead, kind == Kind::Dead);
        assert!(self.receipts.iter().all(|old| old.number != receipt.number), "each is new");
        known.receipt = Some(receipt);
        self.receipts.push(receipt);
    }

    fn put_back(&mut self) {
        if let Some((_, place)) = self.taken.pop() {
            self.state.put_back(place);
            self.known.get_mut(&place).expect("it was put").taken = false;
        }
    }

    /// Some receipt that was ever given, and whether it is good.
    fn receipt(&mut self, which: usize) -> Option<(Receipt, bool, &mut Known)> {
        let receipt = *self.receipts.get(which % self.receipts.len().max(1))?;
        let known = self.known.get_mut(&receipt.place).expect("it was put");
        let newest = known.receipt == Some(receipt) && receipt.dead == known.dead;
        Some((receipt, newest && !known.gone, known))
    }

    fn acknowledge(&mut self, which: usize) {
        let Some((receipt, good, known)) = self.receipt(which) else { return };
        known.gone |= good;
        let outcome = self.state.acknowledge(receipt, &mut self.journal);
        assert_eq!(outcome.is_ok(), good);
    }

    fn set_visibility(&mut self, which: usize, visibility: u64) {
        let now = at(self.now);
        let Some((receipt, good, known)) = self.receipt(which) else { return };
        let good = good && !known.taken;
        if good {
            known.visible = Some(now.plus(Millis(visibility)));
        }
        let state = &mut self.state;
        let outcome = state.set_visibility(receipt, Millis(visibility), now, &mut self.journal);
        assert_eq!(outcome.is_ok(), good);
    }

    fn restore(&mut self, which: usize) {
        let Some((receipt, good, known)) = self.receipt(which) else { return };
        let good = good && known.dead && !known.taken;
        if good {
            *known = Known::default();
        }
        let outcome = self.state.restore(receipt, &mut self.journal);
        assert_eq!(outcome.is_ok(), good);
    }

    /// Goes on from what the journal says, or from a snapshot.
    fn restart(&mut self, snapshot: bool) {
        if snapshot {
            self.journal = self.state.snapshot().collect();
        }
        let mut state = State::default();
        state.set_max_receives(self.max);
        self.journal.iter().for_each(|&event| state.apply(event));
        self.state = state;
        for (_, place) in self.taken.drain(..) {
            self.known.get_mut(&place).expect("it was put").taken = false;
        }
    }

    fn step(&mut self, (what, value): (u8, u16)) {
        let (which, amount) = (usize::from(value), u64::from(value % 50));
        match what % 16 {
            0..=2 => self.put(which % 2),
            3 => self.expire(which % 2),
            4..=6 => self.take(Kind::Live, 1 + which % 4),
            7 => self.take(Kind::Dead, 1 + which % 4),
            8..=9 => self.deliver(amount),
            10 => self.put_back(),
            11 => self.acknowledge(which),
            12 => self.set_visibility(which, amount),
            13 => self.restore(which),
            14 => self.now += i64::from(value % 60),
            _ => self.restart(value % 2 == 0),
        }
        self.observe();
    }

    /// Everything that was neither acknowledged nor expired comes.
    fn drain(mut self) {
        self.restart(false);
        self.now += 1_000;
        self.observe();
        for kind in [Kind::Live, Kind::Dead] {
            self.take(kind, usize::MAX);
        }
        assert!(self.known.values().all(|known| known.gone || known.taken));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn machine_does_as_the_model_whatever_comes(
        max in prop_oneof![Just(None), (1..4u32).prop_map(Some)],
        steps in prop::collection::vec(any::<(u8, u16)>(), 0..150),
    ) {
        let mut model = Model::new(max);
        steps.into_iter().for_each(|step| model.step(step));
        model.drain();
    }
}
