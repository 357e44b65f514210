//! A building with known truth: devices that really leave and really come back, and what adapters hear of them.
//!
//! One seed, one trace. The regimes vary one thing each, and the mixed ones several; see `regimes.rs`.

/// SplitMix64 (Steele, Lea, Flood 2014): small, seedable, and good enough to lose adverts with.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: &str) -> Dice {
        // FNV-1a.
        Dice(seed.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn uniform(&mut self, (from, to): (f64, f64)) -> f64 {
        from + (to - from) * self.unit()
    }

    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }
}

/// How long something lasts.
#[derive(Clone, Copy, Debug)]
pub enum Lasts {
    Exponential(f64),
    Uniform(f64, f64),
}

/// Something that comes about once in `every` seconds.
#[derive(Clone, Copy, Debug)]
pub struct Often {
    pub every: f64,
    pub lasts: Lasts,
}

/// When a device sends.
#[derive(Clone, Copy, Debug)]
pub enum Timing {
    /// The interval and up to 10 ms (Core 5.4, Vol 6, Part B, 4.4.2.2.1).
    Steady,
    /// The interval, give or take this share of it.
    Jitter(f64),
    /// At random, with the interval as the mean.
    Random,
}

/// What kind of building it is.
#[derive(Clone, Debug)]
pub struct Regime {
    pub name: &'static str,
    pub devices: usize,
    /// Seconds between a device's adverts.
    pub interval: (f64, f64),
    /// Chance that one advert is heard.
    pub heard: (f64, f64),
    pub timing: Timing,
    /// A device at least stays so long.
    pub stay: f64,
    /// And then is away for so long.
    pub away: (f64, f64),
    pub ears: usize,
    /// A device alone is hardly heard, with this chance.
    pub fade: Option<(Often, f64)>,
    /// All devices are hardly heard, with this chance.
    pub dark: Option<(Often, f64)>,
    /// A device's interval is another one for a while; all at the same times with `together`.
    pub idle: Option<(Often, (f64, f64))>,
    pub together: bool,
    /// A device's interval is drawn anew, for good.
    pub change: Option<f64>,
    /// A device's interval grows to this many times itself by the end.
    pub drift: f64,
    /// A device starts anew, and says nothing meanwhile.
    pub reboot: Option<Often>,
    /// So many stay; all others leave and come back together.
    pub stay_behind: Option<usize>,
    /// So often the number of neighbours changes, and they drown out up to this share of the adverts.
    pub neighbours: Option<(f64, f64)>,
    /// Of adverts that would be heard, everybody's are with this chance only.
    pub noise: Option<(Often, f64)>,
    /// An advert is followed by copies of it, so often and so many.
    pub burst: Option<(f64, u32)>,
    /// Seconds between an advert and its copies.
    pub apart: f64,
    /// This share of the devices is of another kind, with intervals of its own.
    pub other: Option<(f64, (f64, f64))>,
    /// All devices send with the same interval, and were switched on by the same switch.
    pub in_step: bool,
    /// The adapter reports a device once in so many seconds at most.
    pub once_in: f64,
    /// From the middle of the day on, so many adverts of strangers a second, each of them heard a few times.
    pub rain: f64,
    /// A device leaves just as the adapter falls silent, or the daemon stops.
    pub leaves_with_stall: bool,
    /// This share of the returns is for one advert only.
    pub glimpses: f64,
    /// The first adapter hears nothing. With `off` it says so.
    pub stall: Option<Often>,
    /// The second adapter hears nothing.
    pub stall_other: Option<Often>,
    pub off: bool,
    pub restart: Option<Often>,
    /// The knowing judge knows all that can be known here: its delays are a fair bar.
    pub fair: bool,
    /// Why no causal judge can do here what the others ask: told in the table, and held to nothing but the turns.
    pub beyond: Option<&'static str>,
}

pub const PLAIN: Regime = Regime {
    name: "",
    devices: 30,
    interval: (0.5, 3.0),
    heard: (0.85, 0.98),
    timing: Timing::Steady,
    stay: 900.0,
    away: (900.0, 3600.0),
    ears: 1,
    fade: None,
    dark: None,
    idle: None,
    together: false,
    change: None,
    drift: 1.0,
    reboot: None,
    stay_behind: None,
    neighbours: None,
    noise: None,
    burst: None,
    apart: 0.1,
    other: None,
    in_step: false,
    once_in: 0.0,
    rain: 0.0,
    leaves_with_stall: false,
    glimpses: 0.0,
    stall: None,
    stall_other: None,
    off: false,
    restart: None,
    fair: true,
    beyond: None,
};

pub type Span = (f64, f64);

#[derive(Clone, Debug)]
pub struct Device {
    pub interval: f64,
    /// The slowest interval that it ever has.
    pub slow: f64,
    pub heard: f64,
    pub here: Vec<Span>,
}

/// What happens at an adapter or to the daemon, in milliseconds of the trace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum What {
    Heard { device: u16, ear: u8 },
    Able { ear: u8, able: bool },
    Restart { away: u64 },
}

pub struct Trace {
    pub regime: Regime,
    pub seed: u64,
    pub end: f64,
    pub devices: Vec<Device>,
    /// Times in which the only adapter was deaf, or the daemon down.
    pub deaf: Vec<Span>,
    pub log: Vec<(u64, What)>,
}

fn spans(dice: &mut Dice, end: f64, often: Option<Often>) -> Vec<Span> {
    let (mut out, mut t) = (Vec::new(), 0.0);
    let Some(often) = often else { return out };
    loop {
        t += dice.exponential(often.every);
        if t >= end {
            return out;
        }
        let length = match often.lasts {
            Lasts::Exponential(mean) => dice.exponential(mean),
            Lasts::Uniform(from, to) => dice.uniform((from, to)),
        };
        out.push((t, (t + length).min(end)));
        t += length;
    }
}

/// When a device is there.
fn stays(dice: &mut Dice, regime: &Regime, end: f64) -> Vec<Span> {
    let (mut here, mut t) = (Vec::new(), dice.uniform((0.0, 30.0)));
    while t < end {
        let stay = if regime.stay < 900.0 {
            regime.stay + dice.exponential(600.0)
        } else {
            dice.exponential(end * 0.8).max(regime.stay)
        };
        let left = (t + stay).min(end);
        here.push((t, left));
        t = left + dice.uniform(regime.away);
    }
    here
}

/// Ends each stay with the first of these that begins in its second half.
fn leave_with(spans: &[Span], here: &mut [Span]) {
    for stay in here {
        let middle = (stay.0 + stay.1) / 2.0;
        if let Some(span) = spans.iter().find(|s| middle <= s.0 && s.0 < stay.1) {
            stay.1 = span.0;
        }
    }
}

/// A share that is drawn anew now and then: (since when, share).
fn steps(dice: &mut Dice, end: f64, often: Option<(f64, f64)>) -> Vec<(f64, f64)> {
    let (mut out, mut t) = (Vec::new(), 0.0);
    let Some((every, most)) = often else { return out };
    while t < end {
        out.push((t, dice.uniform((0.0, most))));
        t += dice.exponential(every);
    }
    out
}

/// Which of sorted spans a growing time is in.
struct Within<'a>(&'a [Span]);

impl Within<'_> {
    fn at(&mut self, t: f64) -> bool {
        while self.0.first().is_some_and(|s| s.1 < t) {
            self.0 = &self.0[1..];
        }
        self.0.first().is_some_and(|s| s.0 <= t)
    }
}

impl Trace {
    pub fn make(regime: &Regime, seed: u64, hours: f64) -> Trace {
        let mut dice = Dice::new(&format!("{}/{seed}", regime.name));
        let end = hours * 3600.0;
        let stalls = spans(&mut dice, end, regime.stall);
        let down = spans(&mut dice, end, regime.restart);
        let dark = spans(&mut dice, end, regime.dark.map(|d| d.0));
        let noise = spans(&mut dice, end, regime.noise.map(|n| n.0));
        let idle_together = spans(&mut dice, end, regime.idle.map(|i| i.0));
        let stalls_other = spans(&mut dice, end, regime.stall_other);
        let neighbours = steps(&mut dice, end, regime.neighbours);
        let mut log = Vec::new();
        let mut devices: Vec<Device> = Vec::new();
        for n in 0..regime.devices {
            let mut device = Device {
                interval: dice.uniform(regime.interval),
                slow: 0.0,
                heard: dice.uniform(regime.heard),
                here: Vec::new(),
            };
            device.here = match regime.stay_behind {
                Some(stay) if n < stay => vec![(dice.uniform((0.0, 30.0)), end)],
                Some(stay) if n > stay => devices[stay].here.clone(),
                _ => stays(&mut dice, regime, end),
            };
            if let Some((_, interval)) = regime.other.filter(|(share, _)| dice.unit() < *share) {
                device.interval = dice.uniform(interval);
            }
            if regime.in_step {
                device.interval = regime.interval.1;
            }
            if regime.leaves_with_stall {
                leave_with(&stalls, &mut device.here);
                leave_with(&down, &mut device.here);
            }
            for here in device.here.iter_mut().skip(1) {
                if regime.glimpses > 0.0 && dice.unit() < regime.glimpses {
                    here.1 = here.0 + 0.001;
                }
            }
            let fades = spans(&mut dice, end, regime.fade.map(|f| f.0));
            let own_idles = spans(&mut dice, end, regime.idle.map(|i| i.0));
            let idles = if regime.together { &idle_together } else { &own_idles };
            device.slow = regime.idle.map_or(device.interval, |i| dice.uniform(i.1));
            let change = Often { every: regime.change.unwrap_or(f64::INFINITY), lasts: Lasts::Exponential(0.0) };
            let mut changes = spans(&mut dice, end, regime.change.map(|_| change)).into_iter().peekable();
            let (mut in_stall, mut in_down, mut in_dark) = (Within(&stalls), Within(&down), Within(&dark));
            let (mut in_noise, mut in_fade, mut in_idle) = (Within(&noise), Within(&fades), Within(idles));
            let (mut interval, mut slowest) = (device.interval, device.interval.max(device.slow));
            slowest *= regime.drift;
            let reboots = spans(&mut dice, end, regime.reboot);
            let (mut in_reboot, mut in_other) = (Within(&reboots), Within(&stalls_other));
            let mut crowd = neighbours.iter().copied().peekable();
            let mut drowned = 0.0;
            let mut reported = f64::NEG_INFINITY;
            for &(begin, finish) in &device.here {
                let mut t = if regime.in_step { (begin / device.interval).ceil() * device.interval } else { begin };
                let is_glimpse = finish - begin < 0.01;
                while t < finish {
                    while changes.next_if(|c| c.0 < t).is_some() {
                        interval = dice.uniform(regime.interval);
                        slowest = slowest.max(interval);
                    }
                    let (stalled, down) = (in_stall.at(t), in_down.at(t));
                    while let Some((_, share)) = crowd.next_if(|c| c.0 <= t) {
                        drowned = share;
                    }
                    let mut chance = device.heard * (1.0 - drowned);
                    if in_reboot.at(t) {
                        chance = 0.0;
                    }
                    let stalled_other = in_other.at(t);
                    if let Some((_, quiet)) = regime.noise.filter(|_| in_noise.at(t)) {
                        chance *= quiet;
                    }
                    if let Some((_, hardly)) = regime.dark.filter(|_| in_dark.at(t)) {
                        chance = hardly;
                    }
                    if let Some((_, hardly)) = regime.fade.filter(|_| in_fade.at(t)) {
                        chance = hardly;
                    }
                    if is_glimpse {
                        chance = 1.0;
                    }
                    let copies = regime.burst.filter(|b| dice.unit() < b.0).map_or(0, |b| b.1);
                    for copy in 0..=copies {
                        let t = t + f64::from(copy) * regime.apart;
                        for ear in 0..regime.ears {
                            let deaf = down || stalled && ear == 0 || stalled_other && ear == 1;
                            if !deaf && dice.unit() <= chance && t - reported >= regime.once_in {
                                reported = t;
                                log.push(((t * 1000.0) as u64, What::Heard { device: n as u16, ear: ear as u8 }));
                            }
                        }
                    }
                    let idle = in_idle.at(t);
                    let now = if idle { device.slow } else { interval } * (1.0 + (regime.drift - 1.0) * t / end);
                    t += match regime.timing {
                        Timing::Steady => now + dice.uniform((0.0, 0.01)),
                        Timing::Jitter(by) => now * dice.uniform((1.0 - by, 1.0 + by)),
                        Timing::Random => dice.exponential(now).max(0.05),
                    };
                }
            }
            device.slow = slowest;
            devices.push(device);
        }
        let ms = |t: f64| (t * 1000.0) as u64;
        let mut t = end / 2.0;
        while regime.rain > 0.0 && t < end {
            t += dice.exponential(1.0 / regime.rain);
            // Whoever passes is within reach for two minutes or so.
            let passer = regime.devices as u64 + t as u64 / 120 * 64 + dice.next() % 64;
            let deaf = stalls.iter().chain(&down).any(|s| s.0 <= t && t < s.1);
            if !deaf {
                log.push((ms(t), What::Heard { device: passer as u16, ear: 0 }));
            }
        }
        log.extend(down.iter().map(|d| (ms(d.0), What::Restart { away: ms(d.1) - ms(d.0) })));
        if regime.off {
            log.extend(stalls.iter().flat_map(|s| {
                [(ms(s.0), What::Able { ear: 0, able: false }), (ms(s.1), What::Able { ear: 0, able: true })]
            }));
        }
        log.sort_by_key(|l| l.0);
        // Where there are two adapters, the times in which neither hears.
        let mut deaf = match regime.ears {
            1 => stalls,
            _ => (stalls.iter().flat_map(|a| stalls_other.iter().map(|b| (a.0.max(b.0), a.1.min(b.1)))))
                .filter(|both| both.0 < both.1)
                .collect(),
        };
        deaf.extend(down);
        deaf.sort_by(|a, b| a.0.total_cmp(&b.0));
        Trace { regime: regime.clone(), seed, end, devices, deaf, log }
    }
}
