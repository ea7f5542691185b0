use super::*;

/// A lesson of a size.
#[derive(Debug, PartialEq)]
struct Sized(usize);

impl Lesson for Sized {
    fn bytes(&self) -> usize {
        self.0
    }
}

const BYTES: usize = 1_000 - BYTES_AROUND;

fn key(number: usize) -> Key {
    KeyMaker::new("test").number(number).key()
}

/// Asks for lessons as one run; which of them had to be learnt.
fn learnt(memory: &Memory, run: &str, numbers: impl IntoIterator<Item = usize>) -> Vec<usize> {
    let run = RunId::from(run);
    let recall = memory.of_run(&run);
    let mut learnt = Vec::new();
    for number in numbers {
        let learn = || {
            learnt.push(number);
            Sized(BYTES)
        };
        recall.of(|| key(number), learn);
    }
    learnt
}

#[test]
fn what_one_run_learnt_the_next_knows_and_says_by_whom() {
    let memory = Memory::with_room_for(10_000);
    assert_eq!(learnt(&memory, "a", 0..4), [0, 1, 2, 3]);
    assert_eq!(learnt(&memory, "b", 2..6), [4, 5]);
    let run = RunId::from("c");
    let recall = memory.of_run(&run);
    let by = |number| recall.of(|| key(number), || Sized(BYTES)).1;
    assert_eq!(
        [by(1), by(5), by(9)],
        ["a", "b", "c"].map(RunId::from),
        "each by the run that learnt it"
    );
    let counts = memory.counts();
    assert_eq!((counts.hits, counts.misses, counts.evicted), (4, 7, 0));
    assert_eq!((counts.lessons, counts.bytes), (7, 7_000));
}

#[test]
fn a_memory_aside_knows_the_same_and_gives_nothing_back() {
    let memory = Memory::with_room_for(3_999);
    learnt(&memory, "a", 0..3);
    let before = memory.counts();
    let aside = memory.aside();
    assert_eq!(learnt(&aside, "b", [1, 2, 7]), [7]);
    assert_eq!(
        learnt(&aside, "c", [7, 8]),
        [8],
        "what is learnt aside is known there"
    );
    assert_eq!(aside.counts().evicted, 2, "in no more room");
    assert_eq!(memory.counts(), before);
    assert_eq!(learnt(&memory, "d", [0, 1, 2]), [0; 0]);
}

#[test]
fn the_one_unused_for_longest_makes_room() {
    let memory = Memory::with_room_for(3_999);
    learnt(&memory, "a", 0..3);
    assert_eq!(learnt(&memory, "b", [0]), [0; 0]);
    // 1 and 2 were last used by the first run, 1 before 2.
    assert_eq!(learnt(&memory, "c", [7]), [7]);
    assert_eq!(learnt(&memory, "d", [0, 2, 7]), [0; 0]);
    assert_eq!(memory.counts().evicted, 1);
    assert_eq!(learnt(&memory, "e", [1]), [1]);
}

#[test]
fn a_run_larger_than_the_memory_keeps_what_fits_and_goes_on_using_it() {
    let memory = Memory::with_room_for(4_000);
    assert_eq!(learnt(&memory, "a", 0..10).len(), 10);
    for run in ["b", "c", "d"] {
        assert_eq!(learnt(&memory, run, 0..10), [4, 5, 6, 7, 8, 9], "{run}");
    }
    let counts = memory.counts();
    assert_eq!((counts.lessons, counts.bytes), (4, 4_000));
    assert_eq!((counts.hits, counts.misses), (12, 28));
    // A lesson larger than all of the room drives nothing out for good.
    let run = RunId::from("e");
    let recall = memory.of_run(&run);
    recall.of(|| key(99), || Sized(5_000));
    drop(recall);
    assert!(memory.counts().bytes <= 4_000);
}

/// An answer made of the lessons that were asked for before it.
#[derive(Debug, PartialEq)]
struct Answer(usize);

impl Lesson for Answer {
    fn bytes(&self) -> usize {
        self.0
    }

    fn is_made_of_lessons(&self) -> bool {
        true
    }
}

#[test]
fn an_answer_has_the_place_of_lessons_it_was_made_of() {
    let memory = Memory::with_room_for(4_000);
    let answered = |run: &str, bytes| {
        let run = RunId::from(run);
        let recall = memory.of_run(&run);
        let mut is_learnt = false;
        let answer = || {
            is_learnt = true;
            for number in 0..10 {
                recall.of(|| key(number), || Sized(BYTES));
            }
            Answer(bytes)
        };
        recall.of(|| key(100), answer);
        is_learnt
    };
    assert!(answered("a", BYTES));
    assert!(!answered("b", BYTES), "asked again it is found");
    // The other three places are lessons'; the one unused for longest is gone.
    assert!(learnt(&memory, "c", 1..4).is_empty());
    assert_eq!(memory.counts().bytes, 4_000);
    // One that is larger than the room drives out nothing.
    let memory = Memory::with_room_for(4_000);
    learnt(&memory, "a", 0..4);
    let run = RunId::from("b");
    memory.of_run(&run).of(|| key(200), || Answer(5_000));
    assert_eq!(memory.counts().lessons, 4);
}

#[test]
fn without_room_nothing_is_kept_and_no_key_is_made() {
    let memory = Memory::default();
    let run = RunId::from("a");
    let recall = memory.of_run(&run);
    let none = || -> Key { panic!("a key for nothing") };
    assert_eq!(*recall.of(none, || Sized(1)).0, Sized(1));
    assert_eq!(memory.counts(), MemoryCounts::default());
}

#[test]
fn keys_tell_kinds_lengths_and_signs_of_zero_apart() {
    let of = |kind: &str, parts: &[&[f64]]| {
        let mut key = KeyMaker::new(kind);
        for part in parts {
            key.values(part);
        }
        key.key()
    };
    let keys = [
        of("a", &[&[1.0, 2.0]]),
        of("b", &[&[1.0, 2.0]]),
        of("a", &[&[1.0], &[2.0]]),
        of("a", &[&[1.0, 2.0], &[]]),
        of("a", &[&[0.0]]),
        of("a", &[&[-0.0]]),
        of("a", &[&[f64::NAN]]),
        of("a", &[&[0.0; 40]]),
        of("a", &[&[0.0; 41]]),
    ];
    let apart: std::collections::BTreeSet<Key> = keys.into_iter().collect();
    assert_eq!(apart.len(), keys.len());
    assert_eq!(of("a", &[&[1.0, f64::NAN]]), of("a", &[&[1.0, f64::NAN]]));
}
