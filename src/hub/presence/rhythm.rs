//! How often a device sends, learned from the gaps between its adverts.
//!
//! Gaps are whole numbers of intervals, since adverts get lost: the interval is what the shortest of them have in common. A
//! device slows down at once (it is believed after a few gaps) and quickens slowly, because taking a slow device for a
//! quick one loses it falsely, and the other way round only delays. Bursts (an advert repeated a few times, a button pressed)
//! teach nothing. A slow interval stays remembered: what idled today may idle tonight.

/// Adverts closer than this are one: copies on the three advertising channels, reports of two adapters, and the shortest
/// interval that is worth telling apart when silence is judged in tens of seconds.
pub const SAME_ADVERT_S: f32 = 0.25;

/// An advert this early, in intervals, is none of the rhythm's; half an interval with room for jitter.
pub const EARLY: f32 = 0.6;

/// The end of the first interval's share: nearer to one interval than to two.
const SINGLE: f32 = 1.5;

/// Gaps up to this many intervals sharpen the interval. Farther out it may be three halves of a true one.
const NEAR: f32 = 1.4;

/// Gaps in which the shortest is taken for the interval as it is. With half of the adverts lost, one of 8 gaps is a single one
/// with probability 0.996.
const FIRST_GAPS: u32 = 16;

/// The weight of a new gap in a known interval: a crystal's drift is slow, a decoder's jitter averages out over 16.
const SMOOTHING: f32 = 1.0 / 16.0;

/// Gaps in a row without a single interval that make a new, slower rhythm, if chance does not explain them and they have a beat.
/// Fewer than four may be a fade.
const SLOWER_GAPS: u32 = 4;

/// Chance explains such a run with at most e^-this: a device of two seconds has 16 million gaps a year.
const SLOWER_NATS: f32 = 20.0;

/// How far, in intervals, a gap may be off the beat: random ones are nearer than this in 3 of 10 cases, three in a row in 3 %.
const OFF_BEAT: f32 = 0.15;

/// Chance explains a run of gaps with at most e^-this: one in a million.
pub const SURPRISE_NATS: f32 = 13.8;

/// Adverts in a row, each early, that make a new, quicker rhythm; and for how many of the old intervals. A burst is over sooner.
const QUICKER_GAPS: u32 = 12;
const QUICKER_INTERVALS: f32 = 4.0;

/// A longer silence is no fade: nobody stands in the way for ten minutes, and one who does would be away.
pub const FADE_LONGEST_S: f32 = 600.0;

/// A device that idles sends this many times slower at least. Twice may be a mistake about one that is badly heard.
const MUCH_SLOWER: f32 = 2.5;

/// Single gaps that make an interval the device's own: as many as it is smoothed over.
const ESTABLISHED: u32 = 16;

/// Of an interval that is a multiple of the true one, taken for it because the single ones were lost, the multiple is hardly more than
/// three: of four gaps at 65 % loss, all are longer once in 170 times.
const MULTIPLE: f32 = 3.5;

/// Two intervals this near, by ratio, are one slow rhythm and its jitter.
const NEARLY: f32 = 0.8;

/// A gap is between two beats when it is farther than this from both. Taking twice the interval for the interval puts every
/// other gap there; a jitter of 30 % a tenth of them.
const ODD: f32 = 0.25;

/// So many of them in the last so many say that the interval is wrong.
const ODD_SHARE: f32 = 0.3;
const ODD_GAPS: f32 = 32.0;

/// A slow rhythm is remembered for a day and a half of hearing: a nightly one comes again before it is forgotten.
const SLOW_MEMORY_S: f32 = 1.5 * 86_400.0;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rhythm {
    /// Seconds; 0 while unknown.
    interval: f32,
    /// The slowest rhythm remembered, and for how long still.
    slow: f32,
    slow_left: f32,
    /// The same as it was before the present interval was taken for a slow one, until that is established: it may be a multiple of the
    /// true one.
    kept: Option<(f32, f32)>,
    /// Gaps learned from, up to where the number matters.
    gaps: u32,
    /// Single gaps at this interval, up to where the number matters.
    singles: u32,
    /// The gaps since the last single one.
    run: Run,
    /// Early adverts in a row.
    early: u32,
    early_s: f32,
    early_least: f32,
    /// The share of gaps that are between two beats.
    odd: f32,
}

/// Gaps in a row of which none is a single interval: losses, a fade, or a slower rhythm.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Run {
    pub gaps: u32,
    pub seconds: f32,
    /// What losses would have to explain: -ln of its probability.
    pub nats: f32,
    /// The last gaps that are multiples of one interval, the shortest of them.
    beat: u32,
    beat_nats: f32,
    beat_s: f32,
    shortest: f32,
    /// The shortest of all.
    least: f32,
    /// One of its gaps alone is more than chance explains.
    surprising: bool,
}

/// What a gap turned out to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Beat {
    /// Too early: the same advert again, or a burst.
    Early,
    /// After early adverts: it may be any of a quicker rhythm's, and says nothing about losses.
    Unsure,
    /// The next advert of the rhythm, or one after `missed` lost ones; it ends a run that is not empty.
    On { missed: u32, ended: Run },
    /// One more gap of a run.
    Late { missed: u32 },
    /// The run is a new, slower rhythm, the `first` one remembered; what its gaps taught about losses is void.
    Slower { first: bool },
    /// The interval is shorter than it was taken for; with only the first gaps known, losses were counted wrong too. `instead` of one that
    /// was taken for a slow rhythm.
    Quicker { at_first: bool, instead: Option<f32> },
}

impl Run {
    /// Too long for losses, and without the beat that a slower rhythm has even when it does not last to be learned.
    pub fn is_fade(&self, share: f32) -> bool {
        self.surprising && !self.may_be_slower(share)
    }

    /// A slower rhythm: it has the beat, and what that leaves to losses they explain.
    fn may_be_slower(&self, share: f32) -> bool {
        let missed = self.beat_s / self.shortest - self.beat as f32;
        self.beat >= 2 && self.beat + 1 >= self.gaps && missed * -(1.0 - share).ln() < SURPRISE_NATS / 2.0
    }
}

impl Rhythm {
    pub fn restored(interval: f32, slow: f32, slow_left: f32) -> Rhythm {
        let sane = |s: f32, max: f32| if s.is_finite() { s.clamp(0.0, max) } else { 0.0 };
        let interval = sane(interval, 86_400.0);
        Rhythm {
            interval,
            slow: sane(slow, 86_400.0),
            slow_left: sane(slow_left, SLOW_MEMORY_S),
            gaps: if interval > 0.0 { FIRST_GAPS } else { 0 },
            singles: if interval > 0.0 { ESTABLISHED } else { 0 },
            ..Rhythm::default()
        }
    }

    pub fn interval(&self) -> f32 {
        self.interval
    }

    /// Gaps since the last single interval.
    pub fn run_gaps(&self) -> u32 {
        self.run.gaps
    }

    pub fn slow(&self) -> Option<(f32, f32)> {
        (self.slow_left > 0.0).then_some((self.slow, self.slow_left))
    }

    /// The interval to judge silence by: the slowest that it is known to have.
    pub fn slowest(&self) -> f32 {
        self.interval.max(if self.slow_left > 0.0 { self.slow } else { 0.0 })
    }

    /// A slower one that it may be in now: heard at long gaps only, their shortest may be it. One gap of a thousand looks like
    /// that by chance.
    pub fn suspected(&self) -> Option<f32> {
        (self.run.nats > SURPRISE_NATS / 2.0).then_some(self.run.least)
    }

    /// Enough gaps to know the interval.
    pub fn known(&self) -> bool {
        self.gaps >= FIRST_GAPS / 2
    }

    /// A silence that is no gap between two adverts (the device was away): what it interrupted is forgotten.
    pub fn interrupt(&mut self) {
        self.run = Run::default();
        (self.early, self.early_s) = (0, 0.0);
    }

    /// It was away for `gap`, or seemed so: that may have been its first gap in a slower rhythm. A fade it was only where that is
    /// likelier (`at_once`).
    pub fn returned(&mut self, gap: f32, at_once: bool, share: f32) {
        self.interrupt();
        if self.interval > 0.0 && (SINGLE * self.interval..=FADE_LONGEST_S).contains(&gap) {
            let nats = (gap / self.interval).round() * -(1.0 - share).ln();
            self.run = Run {
                gaps: 1,
                seconds: gap,
                nats,
                beat: 1,
                beat_nats: nats,
                beat_s: gap,
                shortest: gap,
                least: gap,
                surprising: at_once && nats > SURPRISE_NATS,
            };
        }
    }

    /// Whether an advert `since_slot` after the last one of the rhythm is early.
    pub fn early(&self, since_slot: f32) -> bool {
        since_slot < if self.gaps < FIRST_GAPS { SAME_ADVERT_S } else { (EARLY * self.interval).max(SAME_ADVERT_S) }
    }

    /// Learns from an advert: `gap` after the last advert, `since_slot` after the last one of the rhythm; `own` of the gap is not
    /// explained by how others are heard. `share` of the adverts are heard.
    pub fn heard(&mut self, gap: f32, since_slot: f32, own: f32, share: f32) -> Beat {
        self.slow_left = (self.slow_left - gap).max(0.0);
        let alone = gap >= EARLY * self.interval;
        if alone {
            (self.early, self.early_s) = (0, 0.0);
        } else if gap >= SAME_ADVERT_S {
            if self.early == 0 {
                self.early_least = gap;
            }
            self.early += 1;
            self.early_s += gap;
            self.early_least = self.early_least.min(gap);
            if self.early >= QUICKER_GAPS && self.early_s >= QUICKER_INTERVALS * self.interval {
                return self.quicken();
            }
        }
        if self.early(since_slot) {
            if gap >= SAME_ADVERT_S && since_slot >= ODD * self.interval {
                self.singles = self.singles.saturating_sub(1);
                if self.is_odd(since_slot) {
                    return self.quicken();
                }
            }
            return Beat::Early;
        }
        if self.is_odd(since_slot) {
            return self.quicken();
        }
        self.gaps = (self.gaps + 1).min(FIRST_GAPS * 2);
        if self.interval == 0.0 {
            self.interval = since_slot;
            return Beat::On { missed: 0, ended: Run::default() };
        }
        if self.gaps <= FIRST_GAPS && since_slot < EARLY * self.interval {
            self.early_least = since_slot;
            return self.quicken();
        }
        if !alone {
            return Beat::Unsure;
        }
        let missed = ((since_slot / self.interval).round() as u32).max(1) - 1;
        if since_slot < SINGLE * self.interval {
            if since_slot < NEAR * self.interval {
                self.interval += (since_slot - self.interval) * SMOOTHING;
            }
            self.singles = (self.singles + 1).min(ESTABLISHED);
            if self.established() {
                self.kept = None;
            }
            let ended = std::mem::take(&mut self.run);
            return Beat::On { missed, ended };
        }
        self.late(since_slot, missed, own, share)
    }

    fn late(&mut self, gap: f32, missed: u32, own: f32, share: f32) -> Beat {
        let nats_per_miss = -(1.0 - share).ln();
        let mut run = self.run;
        let nats = missed as f32 * nats_per_miss;
        // Of two gaps on one beat, the longer is a multiple of the shorter.
        let beats = gap.max(run.shortest) / gap.min(run.shortest);
        if run.beat == 0 || (beats - beats.round()).abs() > OFF_BEAT {
            (run.beat, run.shortest, run.beat_nats, run.beat_s) = (0, gap, 0.0, 0.0);
        }
        run.beat += 1;
        run.beat_s += gap;
        run.beat_nats += nats;
        run.shortest = run.shortest.min(gap);
        run.gaps += 1;
        run.least = if run.gaps == 1 { gap } else { run.least.min(gap) };
        run.seconds += own;
        run.nats += nats;
        let over_slowest = (own / self.slowest() - 1.0).max(0.0);
        run.surprising |= over_slowest * nats_per_miss > SURPRISE_NATS && gap <= FADE_LONGEST_S;
        self.run = run;
        // A run of losses is on a beat in as many ways as there are slots near enough to it, for each gap after the first.
        let ways = (run.beat - 1) as f32 * (1.0 + 2.0 * OFF_BEAT * run.shortest / self.interval).ln();
        let beat = run.beat >= SLOWER_GAPS && run.beat_nats - ways > SLOWER_NATS;
        let never_single = run.gaps as f32 * nats_per_miss > SLOWER_NATS;
        if beat || never_single {
            let old = std::mem::replace(&mut self.interval, if beat { run.shortest } else { run.least });
            self.run = Run::default();
            // An interval that was never much of one was a mistake (a burst at the start), not a quicker rhythm.
            let much = self.interval > MUCH_SLOWER * old;
            let first = self.slow_left <= 0.0 && self.established() && much;
            if self.established() {
                self.kept = Some((self.slow, self.slow_left));
                self.remember_slow(self.interval);
            }
            (self.singles, self.odd, self.early_least) = (0, 0.0, 0.0);
            return Beat::Slower { first };
        }
        Beat::Late { missed }
    }

    /// Whether the gaps of late are so often between two beats that the interval cannot be right; and there is a shorter one.
    fn is_odd(&mut self, since_slot: f32) -> bool {
        let beats = since_slot / self.interval;
        let odd = (beats - beats.round()).abs() > ODD || beats < 1.0 - ODD;
        self.odd += (if odd { 1.0 } else { 0.0 } - self.odd) / ODD_GAPS;
        self.odd > ODD_SHARE && self.early_least > 0.0 && self.early_least < EARLY * self.interval
    }

    fn quicken(&mut self) -> Beat {
        // Losses were counted by an interval that never was one.
        let at_first = self.gaps <= FIRST_GAPS || self.odd > ODD_SHARE;
        let was = self.interval;
        self.interval = self.early_least.max(SAME_ADVERT_S);
        let mut instead = None;
        if self.established() {
            self.remember_slow(was);
            self.kept = None;
        } else if let Some(kept) = self.kept.take()
            && was < MULTIPLE * self.interval
        {
            instead = Some(self.slow);
            (self.slow, self.slow_left) = kept;
            self.remember_slow(self.interval);
            self.kept = Some(kept);
        }
        self.singles = 0;
        (self.odd, self.early_least) = (0.0, 0.0);
        self.interrupt();
        Beat::Quicker { at_first, instead }
    }

    fn established(&self) -> bool {
        self.singles >= ESTABLISHED
    }

    /// A slow rhythm was seen: the slowest of late is kept, and one nearly as slow keeps it fresh.
    fn remember_slow(&mut self, interval: f32) {
        if self.slow_left <= 0.0 || interval > self.slow {
            self.slow = interval;
        }
        if interval > NEARLY * self.slow {
            self.slow_left = SLOW_MEMORY_S;
        }
    }
}
