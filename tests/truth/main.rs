//! Presence held against the truth: buildings whose devices really leave and come back, made from seeds.
//!
//! `cargo test` plays some of each regime to the judge alone; `make truth` plays all of them on the whole path from advert to event
//! and writes the table in `docs/presence.md`. A failure names regime, seed, second and device.

mod drive;
mod judges;
mod regimes;
mod score;
mod trace;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use score::{Said, Score};
use trace::{Regime, Trace};

/// What a regime came to, for each judge.
struct Figures {
    ours: Score,
    knowing: Score,
    home_assistant: Score,
}

fn play(regime: &Regime, seeds: std::ops::RangeInclusive<u64>, hours: f64, judge: fn(&Trace) -> Vec<Said>) -> Figures {
    let mut figures = Figures { ours: Score::default(), knowing: Score::default(), home_assistant: Score::default() };
    for seed in seeds {
        let trace = Trace::make(regime, seed, hours);
        figures.ours.add(Score::of(&trace, &judge(&trace)));
        figures.knowing.add(Score::of(&trace, &judges::oracle(&trace)));
        figures.home_assistant.add(Score::of(&trace, &judges::home_assistant(&trace)));
    }
    figures
}

/// What does not hold, in words.
fn broken(regime: &Regime, figures: &Figures) -> Vec<String> {
    let Figures { ours, knowing, .. } = figures;
    let mut broken = Vec::new();
    let mut hold = |holds: bool, what: String| {
        if !holds {
            broken.push(format!("{}: {what}", regime.name));
        }
    };
    // The one regime in which chance may win once: its fades have no end.
    let allowed = usize::from(regime.name == "bursty");
    hold(ours.stutters == 0, format!("{} times not by turns", ours.stutters));
    if regime.beyond.is_some() {
        return broken;
    }
    hold(ours.falsely.len() <= allowed, format!("false losses (seed, second, device): {:?}", ours.falsely));
    let missed = ours.missed - if regime.name == regimes::DRAWN { ours.brief } else { 0 };
    hold(missed == 0, format!("{missed} departures missed"));
    if regime.fair {
        let most = (knowing.delay(0.5) * 1.5).max(30.0);
        hold(ours.delay(0.5) <= most, format!("median delay {:.1} s, at most {most:.1}", ours.delay(0.5)));
        let most = (knowing.delay(0.95) * 2.0).max(60.0);
        hold(ours.delay(0.95) <= most, format!("95th percentile {:.1} s, at most {most:.1}", ours.delay(0.95)));
    }
    broken
}

fn in_threads<T: Sync, R: Send>(all: &[T], each: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let (next, results) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((n, it)) = all.iter().enumerate().nth(next.fetch_add(1, Relaxed)) {
                    let result = each(it);
                    results.lock().expect("nobody panics with it").insert(n, result);
                }
            });
        }
    });
    results.into_inner().expect("nobody panics with it").into_values().collect()
}

#[test]
fn no_device_is_lost_that_is_there_and_none_is_missed_that_left() {
    let regimes: Vec<Regime> = [regimes::fixed(), regimes::others()].concat();
    // A third of a building's day, and of its devices where it has a crowd: a few seconds of work in a debug build.
    // The delays of the others are too few here to hold them to.
    let fixed = regimes::fixed().len();
    let small = |r: &Regime| Regime {
        devices: r.devices.min(30),
        fair: regimes[..fixed].iter().any(|f| f.name == r.name),
        ..r.clone()
    };
    let broken: Vec<String> =
        in_threads(&regimes, |r| broken(&small(r), &play(&small(r), 1..=1, 2.5, drive::judge))).concat();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_whole_path_tells_what_the_judge_says() {
    for name in ["stalls", "restarts", "off and on"] {
        let regime = [regimes::fixed(), regimes::others()].concat().into_iter().find(|r| r.name == name);
        let trace = Trace::make(&Regime { devices: 12, ..regime.expect("a regime") }, 1, 1.5);
        assert_eq!(drive::whole(&trace), drive::judge(&trace), "{name}");
    }
}

/// The judge has never seen these: `TRUTH_SEEDS=11-30` of every regime (or of `TRUTH_REGIMES=dark,noise`), played to the judge alone.
#[test]
#[ignore = "minutes; `make truth-others` runs it"]
fn other_seeds() {
    let wanted = |name: &str| std::env::var("TRUTH_REGIMES").map_or(true, |list| list.split(',').any(|n| n == name));
    let regimes: Vec<Regime> = [regimes::fixed(), regimes::others()].concat();
    let regimes: Vec<Regime> = regimes.into_iter().filter(|r| wanted(r.name)).collect();
    let figures = in_threads(&regimes, |r| play(r, seeds(), 6.0, drive::judge));
    println!("{}", table(&regimes, &figures));
    let broken: Vec<String> = regimes.iter().zip(&figures).flat_map(|(r, f)| broken(r, f)).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Buildings that nobody thought of: each of `TRUTH_SEEDS` draws a regime of its own.
#[test]
#[ignore = "minutes; `make truth-others` runs it"]
fn drawn_buildings() {
    let drawn: Vec<(u64, Regime)> = seeds().map(|seed| (seed, regimes::drawn(seed))).collect();
    let figures = in_threads(&drawn, |(seed, regime)| play(regime, *seed..=*seed, 6.0, drive::judge));
    let (mut all, mut bad) = (Score::default(), Vec::new());
    for ((seed, regime), figures) in drawn.iter().zip(figures) {
        let broken = broken(regime, &figures);
        if !broken.is_empty() {
            bad.push(format!("{seed}: {}\n{regime:?}\n", broken.join("; ")));
        }
        all.add(figures.ours);
    }
    println!("{}", bad.join("\n"));
    println!(
        "{} buildings, {:.0} device-days: {} false, {} missed (and {} too briefly away for anybody); {} buildings out of the bar",
        drawn.len(),
        all.days,
        all.falsely.len(),
        all.missed - all.brief,
        all.brief,
        bad.len()
    );
}

fn seeds() -> std::ops::RangeInclusive<u64> {
    let text = std::env::var("TRUTH_SEEDS").unwrap_or_else(|_| "11-20".into());
    let (from, to) = text.split_once('-').expect("TRUTH_SEEDS=from-to");
    from.parse().expect("a number")..=to.parse().expect("a number")
}

#[test]
#[ignore = "minutes; `make truth` runs it"]
fn the_full_table() {
    let regimes: Vec<Regime> = [regimes::fixed(), regimes::others()].concat();
    let figures = in_threads(&regimes, |r| {
        let figures = play(r, 1..=10, 6.0, drive::whole);
        print!("{}", row(r, &figures));
        figures
    });
    let table = table(&regimes, &figures);
    println!("{table}");
    if std::env::var_os("TRUTH_WRITE").is_some() {
        write(&table);
    }
    let broken: Vec<String> = regimes.iter().zip(&figures).flat_map(|(r, f)| broken(r, f)).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

fn row(regime: &Regime, Figures { ours, knowing, home_assistant: ha }: &Figures) -> String {
    let star = match (regime.beyond, regime.fair) {
        (Some(_), _) => " **",
        (None, true) => "",
        (None, false) => " *",
    };
    format!(
        "| {}{star} | {:.0} | {} | {} | {} | {:.1} | {:.1} | {:.1} | {} | {:.1} | {:.1} | {} | {:.1} | {:.1} |\n",
        regime.name,
        ours.days,
        ours.falsely.len(),
        ours.missed,
        ours.hub,
        ours.delay(0.5),
        ours.delay(0.95),
        ours.back(0.95),
        knowing.falsely.len(),
        knowing.delay(0.5),
        knowing.delay(0.95),
        ha.falsely.len(),
        ha.delay(0.5),
        ha.delay(0.95),
    )
}

fn table(regimes: &[Regime], figures: &[Figures]) -> String {
    let mut text = String::from(
        "| regime | device-days | false | missed | with hub | median s | 95 % s | back 95 % s | knowing: false | median | 95 % | Home Assistant: false | median | 95 % |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for (regime, figures) in regimes.iter().zip(figures) {
        text += &row(regime, figures);
    }
    for regime in regimes {
        let Some(why) = regime.beyond else { continue };
        writeln!(text, "\n** {}: informative, no bar; {why}.", regime.name).expect("a string takes all");
    }
    text
}

/// Puts the table into the page, between its marks.
fn write(table: &str) {
    const FROM: &str = "<!-- made by `make truth` -->\n";
    const TO: &str = "<!-- end -->";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/presence.md");
    let page = std::fs::read_to_string(path).expect("docs/presence.md");
    let (before, rest) = page.split_once(FROM).expect("the mark before the table");
    let (_, after) = rest.split_once(TO).expect("the mark after the table");
    std::fs::write(path, format!("{before}{FROM}\n{table}\n{TO}{after}")).expect("docs/presence.md can be written");
}
