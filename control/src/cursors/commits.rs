//! Group commit of cursors, as a machine: time is an argument, and what is to be written comes out as a [`Job`].
//!
//! One job runs at a time. Cursors that come meanwhile gather for the next, the newest of each subscription only. A
//! job that failed is tried again; those who asked are told, and told again when it has succeeded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use millstream_core::bridge::{Cursor, FromControl};
use millstream_core::position::Position;

use super::{COMMIT_INTERVAL, CURSORS_MAX, CursorBook, CursorError, CursorStorage, RETRY_INTERVAL};

/// Who waits for a cursor: worker core and its number for the subscription.
type Asker = (u16, u64);

struct Destination {
    name: Arc<str>,
    /// Away with the job while it runs.
    storage: Option<Box<dyn CursorStorage>>,
    /// The newest of every subscription, durable or not.
    newest: BTreeMap<Arc<str>, Arc<Position>>,
    /// Subscriptions that are not durable at their newest.
    dirty: BTreeSet<Arc<str>>,
    /// Sequences that wait for the next job.
    waiting: BTreeMap<Asker, u64>,
    /// Sequences that the running job will make durable.
    running: BTreeMap<Asker, u64>,
    not_before: Option<Instant>,
}

/// All cursors of one destination, to be saved on a thread that may block.
pub struct Job {
    destination: usize,
    storage: Box<dyn CursorStorage>,
    cursors: Vec<Cursor>,
    /// Those that are new in it.
    changed: Vec<Arc<str>>,
}

pub struct JobResult {
    job: Job,
    result: Result<(), CursorError>,
}

impl Job {
    pub fn run(mut self) -> JobResult {
        let result = self.storage.save(&self.cursors);
        JobResult { job: self, result }
    }
}

/// What came of a round of jobs.
#[derive(Debug, Default)]
pub struct Finished {
    /// To which core, and what.
    pub answers: Vec<(u16, FromControl)>,
    pub saved: u64,
    /// (destination, what the disk said)
    pub failures: Vec<(Arc<str>, CursorError)>,
}

pub struct CursorCommits {
    destinations: Vec<Destination>,
    book: Arc<CursorBook>,
    /// A round of jobs is being written.
    in_flight: bool,
    last_begin: Option<Instant>,
}

impl CursorCommits {
    /// Loads every destination's cursors.
    ///
    /// # Errors
    /// Of every destination that cannot be loaded.
    pub fn open(storages: Vec<(String, Box<dyn CursorStorage>)>) -> Result<Self, Vec<CursorError>> {
        let book = Arc::new(CursorBook::default());
        let (mut destinations, mut errors) = (Vec::new(), Vec::new());
        for (name, mut storage) in storages {
            let loaded = match storage.load() {
                Ok(loaded) => loaded,
                Err(error) => {
                    errors.push(error);
                    continue;
                }
            };
            let newest = loaded.iter().map(|cursor| (cursor.subscription.clone(), cursor.position.clone())).collect();
            book.insert(loaded);
            destinations.push(Destination {
                name: name.into(),
                storage: Some(storage),
                newest,
                dirty: BTreeSet::new(),
                waiting: BTreeMap::new(),
                running: BTreeMap::new(),
                not_before: None,
            });
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(CursorCommits { destinations, book, in_flight: false, last_begin: None })
    }

    pub fn book(&self) -> Arc<CursorBook> {
        self.book.clone()
    }

    /// A cursor to be made durable; answers at once only where that can never be.
    pub fn save(&mut self, cursor: Cursor, core: u16, ticket: u64, sequence: u64) -> Option<(u16, FromControl)> {
        let refuse = |reason: String| Some((core, FromControl::CursorFailed { ticket, reason }));
        let Some(destination) = self.destinations.iter_mut().find(|known| known.name == cursor.destination) else {
            return refuse(format!("no destination '{}' has cursors here", cursor.destination));
        };
        let is_new = !destination.newest.contains_key(&cursor.subscription);
        if is_new && destination.newest.len() >= CURSORS_MAX {
            return refuse(format!(
                "destination '{}' has {CURSORS_MAX} subscriptions, which is the most",
                destination.name
            ));
        }
        destination.newest.insert(cursor.subscription.clone(), cursor.position);
        destination.dirty.insert(cursor.subscription);
        destination.waiting.insert((core, ticket), sequence);
        None
    }

    /// When to call [`CursorCommits::begin`]; `None`: nothing to write, or a job is running.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        if self.in_flight {
            return None;
        }
        let next_begin = self.last_begin.map_or(now, |last| last + COMMIT_INTERVAL);
        let dirty = self.destinations.iter().filter(|destination| !destination.dirty.is_empty());
        dirty.map(|destination| destination.not_before.unwrap_or(next_begin).max(next_begin)).min()
    }

    /// The jobs that are due; empty where it is too early. They are to be run, and their results given to `finish`.
    pub fn begin(&mut self, now: Instant) -> Vec<Job> {
        match self.deadline(now) {
            Some(due) if due <= now => self.begin_at_once(now),
            _ => Vec::new(),
        }
    }

    /// The same without waiting for the interval: before the end.
    pub fn begin_at_once(&mut self, now: Instant) -> Vec<Job> {
        if self.in_flight {
            return Vec::new();
        }
        let jobs: Vec<Job> = self
            .destinations
            .iter_mut()
            .enumerate()
            .filter(|(_, destination)| !destination.dirty.is_empty())
            .filter_map(|(index, destination)| destination.job(index))
            .collect();
        if !jobs.is_empty() {
            self.in_flight = true;
            self.last_begin = Some(now);
        }
        jobs
    }

    pub fn finish(&mut self, results: Vec<JobResult>, now: Instant) -> Finished {
        self.in_flight = false;
        let mut finished = Finished::default();
        for JobResult { job, result } in results {
            let Some(destination) = self.destinations.get_mut(job.destination) else { continue };
            destination.storage = Some(job.storage);
            let asked = std::mem::take(&mut destination.running);
            match result {
                Ok(()) => {
                    destination.not_before = None;
                    finished.saved += job.changed.len() as u64;
                    let changed: BTreeSet<_> = job.changed.into_iter().collect();
                    self.book.insert(job.cursors.into_iter().filter(|cursor| changed.contains(&cursor.subscription)));
                    finished.answers.extend(
                        asked
                            .into_iter()
                            .map(|((core, ticket), sequence)| (core, FromControl::CursorSaved { ticket, sequence })),
                    );
                }
                Err(error) => {
                    destination.not_before = Some(now + RETRY_INTERVAL);
                    destination.dirty.extend(job.changed);
                    for ((core, ticket), sequence) in asked {
                        // A newer one that came meanwhile stands for both.
                        destination.waiting.entry((core, ticket)).or_insert(sequence);
                        let reason = error.to_string();
                        finished.answers.push((core, FromControl::CursorFailed { ticket, reason }));
                    }
                    finished.failures.push((destination.name.clone(), error));
                }
            }
        }
        finished
    }

    /// Cursors that are not durable at their newest.
    pub fn dirty_count(&self) -> usize {
        self.destinations.iter().map(|destination| destination.dirty.len()).sum()
    }
}

impl Destination {
    fn job(&mut self, index: usize) -> Option<Job> {
        let storage = self.storage.take()?;
        let cursors = self.newest.iter().map(|(subscription, position)| Cursor {
            destination: self.name.clone(),
            subscription: subscription.clone(),
            position: position.clone(),
        });
        let cursors = cursors.collect();
        self.running = std::mem::take(&mut self.waiting);
        let changed = std::mem::take(&mut self.dirty).into_iter().collect();
        Some(Job { destination: index, storage, cursors, changed })
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::tests::cursor as file_cursor;
    use super::*;
    use millstream_codec::mysql::gtid::ExecutedGtids;
    use std::sync::Mutex;
    use std::time::Duration;

    /// Keeps what was saved; refuses while `broken`.
    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<(Vec<Vec<Cursor>>, bool)>>);

    impl CursorStorage for Memory {
        fn load(&mut self) -> Result<Vec<Cursor>, CursorError> {
            Ok(self.0.lock().unwrap().0.last().cloned().unwrap_or_default())
        }
        fn save(&mut self, cursors: &[Cursor]) -> Result<(), CursorError> {
            let mut memory = self.0.lock().unwrap();
            if memory.1 {
                return Err(CursorError::Io { place: "memory".into(), reason: "no space left".into() });
            }
            memory.0.push(cursors.to_vec());
            Ok(())
        }
    }

    fn cursor(subscription: &str, offset: u64) -> Cursor {
        file_cursor(subscription, offset, ExecutedGtids::None)
    }

    fn open() -> (CursorCommits, Memory) {
        let memory = Memory::default();
        let storage: Box<dyn CursorStorage> = Box::new(memory.clone());
        (CursorCommits::open(vec![("orders".into(), storage)]).map_err(|errors| errors.len()).unwrap(), memory)
    }

    fn run(jobs: Vec<Job>) -> Vec<JobResult> {
        jobs.into_iter().map(Job::run).collect()
    }

    fn saved(finished: &Finished) -> Vec<(u16, u64, u64)> {
        let saved = finished.answers.iter().filter_map(|(core, answer)| match answer {
            FromControl::CursorSaved { ticket, sequence } => Some((*core, *ticket, *sequence)),
            _ => None,
        });
        saved.collect()
    }

    #[test]
    fn cursors_that_come_together_are_one_write() {
        let (mut commits, memory) = open();
        let start = Instant::now();
        assert_eq!(commits.deadline(start), None);

        // The first after a pause is written at once.
        assert!(commits.save(cursor("a", 1), 0, 10, 1).is_none());
        assert_eq!(commits.deadline(start), Some(start));
        let jobs = commits.begin(start);
        assert_eq!(jobs.len(), 1);

        // What comes while it is written gathers for the next.
        for sequence in 2..=100 {
            commits.save(cursor("a", sequence), 0, 10, sequence);
            commits.save(cursor("b", sequence), 1, 7, sequence);
        }
        assert_eq!(commits.deadline(start), None);
        assert!(commits.begin(start).is_empty());
        let finished = commits.finish(run(jobs), start + Duration::from_millis(3));
        assert_eq!(saved(&finished), [(0, 10, 1)]);
        assert_eq!(commits.book().durable("orders", "a").unwrap().offset, 1);
        assert_eq!(commits.book().durable("orders", "b"), None, "only what is on disk is in the book");

        let early = start + COMMIT_INTERVAL - Duration::from_millis(1);
        assert!(commits.begin(early).is_empty());
        let due = start + COMMIT_INTERVAL;
        assert_eq!(commits.deadline(early), Some(due));
        let jobs = commits.begin(due);
        let finished = commits.finish(run(jobs), due);
        assert_eq!(saved(&finished), [(0, 10, 100), (1, 7, 100)]);
        assert_eq!(commits.book().durable("orders", "b").unwrap().offset, 100);
        assert_eq!(memory.0.lock().unwrap().0.len(), 2, "two writes for 199 cursors");
        assert_eq!(commits.deadline(due), None);
    }

    #[test]
    fn a_failed_write_is_told_and_tried_again() {
        let (mut commits, memory) = open();
        let start = Instant::now();
        memory.0.lock().unwrap().1 = true;
        commits.save(cursor("a", 1), 0, 10, 1);
        let jobs = commits.begin(start);
        let finished = commits.finish(run(jobs), start);
        assert!(matches!(&finished.answers[..], [(0, FromControl::CursorFailed { ticket: 10, .. })]));
        assert_eq!(finished.failures.len(), 1);
        assert_eq!(commits.book().durable("orders", "a"), None);

        // Not at the next interval, but after the retry interval.
        commits.save(cursor("a", 2), 0, 10, 2);
        assert!(commits.begin(start + COMMIT_INTERVAL).is_empty());
        assert_eq!(commits.deadline(start), Some(start + RETRY_INTERVAL));
        memory.0.lock().unwrap().1 = false;
        let jobs = commits.begin(start + RETRY_INTERVAL);
        let finished = commits.finish(run(jobs), start + RETRY_INTERVAL);
        assert_eq!(saved(&finished), [(0, 10, 2)]);
        assert_eq!(commits.book().durable("orders", "a").unwrap().offset, 2);
        assert_eq!(commits.dirty_count(), 0);
    }

    #[test]
    fn unknown_destinations_and_too_many_names_are_refused() {
        let (mut commits, _) = open();
        let other = Cursor { destination: "other".into(), ..cursor("a", 1) };
        assert!(matches!(commits.save(other, 3, 1, 1), Some((3, FromControl::CursorFailed { ticket: 1, .. }))));
        for number in 0..CURSORS_MAX {
            assert!(commits.save(cursor(&format!("s{number}"), 1), 0, 1, 1).is_none());
        }
        assert!(commits.save(cursor("one too many", 1), 0, 2, 1).is_some());
        assert!(commits.save(cursor("s0", 2), 0, 3, 1).is_none(), "known names go on");
    }

    #[test]
    fn cursors_of_an_earlier_start_are_there_and_stay() {
        let (mut commits, memory) = open();
        let now = Instant::now();
        commits.save(cursor("a", 1), 0, 1, 1);
        let jobs = commits.begin(now);
        commits.finish(run(jobs), now);

        let storage: Box<dyn CursorStorage> = Box::new(memory.clone());
        let mut again = CursorCommits::open(vec![("orders".into(), storage)]).map_err(|errors| errors.len()).unwrap();
        assert_eq!(again.book().durable("orders", "a").unwrap().offset, 1);
        again.save(cursor("b", 5), 0, 1, 1);
        let jobs = again.begin(now);
        again.finish(run(jobs), now);
        let names: Vec<_> =
            memory.0.lock().unwrap().0.last().unwrap().iter().map(|c| c.subscription.to_string()).collect();
        assert_eq!(names, ["a", "b"]);
    }
}
