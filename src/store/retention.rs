//! What is too old or too much goes, oldest first, a little at a time.
//!
//! Age takes only what every sink has; size takes whatever is oldest, sent or not, and counts what was not.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use chrono::Utc;
use rusqlite::{Connection, params};

use super::reader;
use crate::health::Health;
use crate::time::Wall;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Sent events older than this go.
    pub age: Duration,
    /// The database is kept under this many bytes.
    pub bytes: u64,
}

impl Default for Keep {
    /// 30 days; a gigabyte holds some eight million events and fits on the smallest card.
    fn default() -> Keep {
        Keep { age: Duration::from_secs(30 * 24 * 3600), bytes: 1 << 30 }
    }
}

/// Events of one transaction: the writer is back at its queue after some 10 ms.
const TOGETHER: usize = 500;

pub struct Retention {
    keep: Keep,
    every: Duration,
    next: Instant,
}

impl Retention {
    pub fn new(keep: Keep, every: Duration) -> Retention {
        // Not at once: the sinks first say where they are.
        Retention { keep, every, next: Instant::now() + every }
    }

    /// Takes out one portion where one is due; the next one follows at once where there is more.
    pub fn tend(&mut self, c: &mut Connection, health: &Arc<Health>) {
        if Instant::now() < self.next {
            return;
        }
        let cutoff =
            Wall::from(Utc::now() - chrono::Duration::from_std(self.keep.age).unwrap_or(chrono::Duration::MAX));
        match portion(c, cutoff, self.keep.bytes) {
            Ok(gone) => {
                if gone.events < TOGETHER {
                    self.next = Instant::now() + self.every;
                }
                if gone.unsent > 0 {
                    health.store.expired_unsent.fetch_add(gone.unsent as u64, Ordering::Relaxed);
                    tracing::error!(
                        events = gone.unsent,
                        "store.expired_unsent: the log is full, and no sink took these"
                    );
                }
                if gone.events > 0 {
                    health.store.expired.fetch_add(gone.events as u64, Ordering::Relaxed);
                    tracing::debug!(events = gone.events, "store.expired");
                }
            }
            Err(error) => {
                self.next = Instant::now() + self.every;
                tracing::warn!(%error, "store.retention_failed");
            }
        }
    }
}

#[derive(Debug, Default, PartialEq)]
struct Gone {
    events: usize,
    unsent: usize,
}

fn portion(c: &mut Connection, cutoff: Wall, bytes_most: u64) -> Result<Gone, rusqlite::Error> {
    // Where no sink has a position yet, age alone counts.
    let sent = reader::cursors(c)?.into_iter().map(|(_, seq)| seq).min();
    let full = bytes(c)? > bytes_most;
    let last: u64 = reader::extent(c)?.seq;
    let t = c.transaction()?;
    let mut gone = Gone::default();
    {
        let mut oldest = t.prepare_cached("SELECT seq, at FROM event ORDER BY seq LIMIT ?1")?;
        let oldest: Vec<(u64, i64)> =
            oldest.query_map([TOGETHER], |r| Ok((r.get(0)?, r.get(1)?)))?.collect::<Result<_, _>>()?;
        let mut delete = t.prepare_cached("DELETE FROM event WHERE seq = ?1")?;
        for (seq, at) in oldest {
            let is_sent = sent.is_none_or(|sent| seq <= sent);
            // The last one stays: its `seq` is where the log goes on.
            if seq == last || !(full || (is_sent && at < cutoff.0)) {
                break;
            }
            delete.execute([seq])?;
            gone.events += 1;
            gone.unsent += usize::from(!is_sent);
        }
        if gone.events > 0 {
            let first: u64 = t.query_row("SELECT coalesce(min(seq), 0) FROM event", [], |r| r.get(0))?;
            t.execute("DELETE FROM odd WHERE seq < ?1", params![first])?;
            t.execute("DELETE FROM code_event WHERE seq < ?1", params![first])?;
            t.execute("DELETE FROM undeliverable WHERE seq < ?1", params![first])?;
        }
    }
    t.commit()?;
    Ok(gone)
}

/// Pages in use; the file itself does not shrink, what is freed is used again.
fn bytes(c: &Connection) -> Result<u64, rusqlite::Error> {
    let number = |pragma| c.pragma_query_value(None, pragma, |r| r.get::<_, u64>(0));
    Ok((number("page_count")? - number("freelist_count")?) * number("page_size")?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Details, Dialect, Event, EventType};
    use crate::store::{Batch, DATABASE, Store};
    use uuid::Uuid;

    fn event(n: i64) -> Event {
        Event {
            // Every tenth id does not begin with its time.
            event_id: if n % 10 == 0 { Uuid::from_u128(n as u128) } else { Uuid::now_v7() },
            event_type: EventType::LockLocked,
            workspace_id: Uuid::from_u128(1),
            created_at: Wall(n),
            occurred_at: Wall(n),
            connected_account_id: Uuid::from_u128(2),
            device_id: Some(Uuid::from_u128(3)),
            details: Details { device_name: Some("x".repeat(200)), ..Details::default() },
        }
    }

    /// Events 1 to `n`, made at the same millisecond, with cursors; and the writing side.
    fn log(n: i64, cursors: &[(&str, u64)]) -> (tempfile::TempDir, Store, Connection) {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(dir.path(), Dialect::Classic).unwrap();
        store.append(Batch { events: (1..=n).map(event).collect(), rows: Vec::new(), then: None }).unwrap();
        cursors.iter().for_each(|(sink, seq)| store.move_cursor(sink, *seq).unwrap());
        store.set_aside("mqtt", 2, "too large".into()).unwrap();
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(store.flush()).unwrap();
        let c = Connection::open(dir.path().join(DATABASE)).unwrap();
        (dir, store, c)
    }

    fn kept(store: &Store) -> (u64, usize) {
        let events = store.events_after(0, usize::MAX >> 1).unwrap();
        (events.first().map_or(0, |e| e.seq), events.len())
    }

    const ENDLESS: u64 = u64::MAX;

    #[test]
    fn age_takes_only_what_every_sink_has_and_what_belongs_to_it() {
        let (_dir, store, mut c) = log(100, &[("mqtt", 90), ("webhook/1", 40)]);
        assert_eq!(portion(&mut c, Wall(30), ENDLESS).unwrap(), Gone { events: 29, unsent: 0 });
        assert_eq!(kept(&store), (30, 71), "younger than the cutoff");
        assert_eq!(portion(&mut c, Wall(80), ENDLESS).unwrap(), Gone { events: 11, unsent: 0 });
        assert_eq!(kept(&store), (41, 60), "the slowest sink has no more");
        assert_eq!(store.undeliverable().unwrap(), []);
        let odd: u64 = c.query_row("SELECT count(*) FROM odd WHERE seq < 41", [], |r| r.get(0)).unwrap();
        assert_eq!(odd, 0);
    }

    #[test]
    fn without_a_sink_age_alone_counts_and_the_last_event_stays() {
        let (_dir, store, mut c) = log(100, &[]);
        assert_eq!(portion(&mut c, Wall(1_000), ENDLESS).unwrap(), Gone { events: 99, unsent: 0 });
        assert_eq!(kept(&store), (100, 1), "its seq is where the log goes on");
        assert_eq!(portion(&mut c, Wall(1_000), ENDLESS).unwrap(), Gone::default());
    }

    #[test]
    fn size_takes_the_oldest_sent_or_not_and_counts_what_nobody_had() {
        let (_dir, store, mut c) = log(5_000, &[("mqtt", 700)]);
        let most = bytes(&c).unwrap() * 3 / 4;
        let (mut gone, mut unsent) = (0, 0);
        loop {
            let portion = portion(&mut c, Wall(0), most).unwrap();
            if portion.events == 0 {
                break;
            }
            assert!(portion.events <= TOGETHER, "the writer is not held up for long");
            (gone, unsent) = (gone + portion.events, unsent + portion.unsent);
        }
        assert!(bytes(&c).unwrap() <= most);
        assert!((1_000..2_500).contains(&gone), "a quarter, and no more than a portion too many: {gone}");
        assert_eq!(unsent, gone - 700);
        assert_eq!(kept(&store), (gone as u64 + 1, 5_000 - gone));
    }
}
