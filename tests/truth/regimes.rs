//! The kinds of buildings that the judge is held to.
//!
//! The judge has one setting for all of them. The first are those of the yardstick; the others were made to find out whether it
//! is the building that is judged, or the yardstick.

use super::trace::{Dice, Lasts, Often, PLAIN, Regime, Timing};

const fn often(every: f64, lasts: Lasts) -> Often {
    Often { every, lasts }
}

use Lasts::{Exponential as Exp, Uniform};

/// The regimes of the yardstick.
pub fn fixed() -> Vec<Regime> {
    let wide = Regime { interval: (0.5, 5.0), ..PLAIN };
    vec![
        Regime { name: "steady", ..PLAIN },
        Regime { name: "lossy", heard: (0.35, 0.6), ..wide.clone() },
        Regime { name: "bursty", heard: (0.7, 0.95), fade: Some((often(600.0, Exp(20.0)), 0.05)), ..wide.clone() },
        Regime { name: "slow", interval: (8.0, 12.0), heard: (0.5, 0.8), ..PLAIN },
        Regime {
            name: "idling",
            interval: (1.0, 2.0),
            heard: (0.7, 0.95),
            idle: Some((often(1800.0, Exp(1200.0)), (8.0, 10.0))),
            ..PLAIN
        },
        Regime { name: "stalls", heard: (0.8, 0.95), stall: Some(often(2400.0, Uniform(20.0, 90.0))), ..PLAIN },
        Regime { name: "busy", heard: (0.8, 0.95), stall: Some(often(120.0, Uniform(2.0, 8.0))), ..PLAIN },
        Regime { name: "lone", interval: (1.0, 3.0), heard: (0.8, 0.95), devices: 1, ..PLAIN },
        Regime {
            name: "twoears",
            heard: (0.7, 0.9),
            ears: 2,
            stall: Some(often(1200.0, Uniform(60.0, 300.0))),
            ..PLAIN
        },
        Regime { name: "restarts", heard: (0.7, 0.95), restart: Some(often(2700.0, Uniform(5.0, 60.0))), ..wide },
        Regime { name: "visits", heard: (0.8, 0.95), stay: 240.0, ..PLAIN },
    ]
}

/// Others, and mixtures.
pub fn others() -> Vec<Regime> {
    let wide = Regime { interval: (0.5, 5.0), heard: (0.7, 0.95), ..PLAIN };
    let stall = Some(often(2400.0, Uniform(20.0, 90.0)));
    let fade = Some((often(600.0, Exp(20.0)), 0.05));
    vec![
        Regime { name: "lossy stalls", heard: (0.35, 0.6), stall, ..wide.clone() },
        Regime {
            name: "slow restarts",
            interval: (8.0, 12.0),
            heard: (0.5, 0.8),
            restart: Some(often(2700.0, Uniform(5.0, 60.0))),
            ..PLAIN
        },
        Regime { name: "bursty stalls", fade, stall, ..wide.clone() },
        Regime { name: "bursty visits", fade, stay: 240.0, ..wide.clone() },
        Regime { name: "bursty two ears", fade, ears: 2, ..wide.clone() },
        Regime { name: "jitter", timing: Timing::Jitter(0.3), ..wide.clone() },
        Regime { name: "wild jitter", timing: Timing::Jitter(0.8), fair: false, ..wide.clone() },
        Regime { name: "random", timing: Timing::Random, fair: false, ..wide.clone() },
        Regime { name: "tens", interval: (15.0, 40.0), heard: (0.6, 0.95), ..PLAIN },
        Regime { name: "any", interval: (0.1, 20.0), heard: (0.3, 0.98), ..PLAIN },
        Regime { name: "changing", change: Some(1800.0), ..wide.clone() },
        Regime {
            name: "nightfall",
            idle: Some((often(3600.0, Exp(1800.0)), (8.0, 10.0))),
            together: true,
            ..wide.clone()
        },
        Regime { name: "three", devices: 3, ..wide.clone() },
        Regime { name: "pair", devices: 2, ..wide.clone() },
        Regime { name: "lone slow", devices: 1, interval: (8.0, 12.0), heard: (0.5, 0.8), ..PLAIN },
        Regime { name: "crowd", devices: 300, stall, ..wide.clone() },
        Regime { name: "dark", dark: Some((often(900.0, Exp(20.0)), 0.05)), ..wide.clone() },
        Regime { name: "noise", noise: Some((often(1200.0, Exp(300.0)), 0.5)), fair: false, ..wide.clone() },
        Regime { name: "bursts", burst: Some((0.1, 8)), fair: false, ..wide.clone() },
        Regime { name: "copies", burst: Some((1.0, 2)), interval: (2.0, 8.0), ..wide.clone() },
        Regime { name: "deaf", stall: Some(often(3600.0, Uniform(150.0, 400.0))), ..wide.clone() },
        Regime { name: "off and on", stall: Some(often(1800.0, Uniform(10.0, 400.0))), off: true, ..wide.clone() },
        Regime {
            name: "one ear off and on",
            ears: 2,
            stall: Some(often(1800.0, Uniform(60.0, 1200.0))),
            off: true,
            ..wide.clone()
        },
        Regime { name: "long away", stay: 240.0, away: (3600.0, 7200.0), ..wide.clone() },
        Regime { name: "barely", interval: (0.5, 3.0), heard: (0.1, 0.3), fair: false, ..PLAIN },
        Regime {
            name: "idling lossy",
            interval: (1.0, 2.0),
            heard: (0.4, 0.7),
            fair: false,
            idle: Some((often(1800.0, Exp(1200.0)), (8.0, 10.0))),
            ..PLAIN
        },
        Regime { name: "drift", drift: 2.0, ..wide.clone() },
        Regime {
            name: "jittered tens",
            interval: (9.0, 11.0),
            heard: (0.7, 0.95),
            timing: Timing::Jitter(0.2),
            ..PLAIN
        },
        Regime { name: "reboots", reboot: Some(often(3600.0, Uniform(5.0, 15.0))), fair: false, ..wide.clone() },
        Regime {
            name: "ears in turn",
            ears: 2,
            stall: Some(often(900.0, Uniform(30.0, 200.0))),
            stall_other: Some(often(900.0, Uniform(30.0, 200.0))),
            ..wide.clone()
        },
        Regime { name: "one ear dies", ears: 2, stall: Some(often(5000.0, Uniform(9000.0, 22_000.0))), ..wide.clone() },
        Regime { name: "neighbours", neighbours: Some((1800.0, 0.6)), fair: false, ..wide.clone() },
        Regime { name: "exodus", stay_behind: Some(4), stay: 600.0, ..wide.clone() },
        Regime { name: "long fades", fade: Some((often(1800.0, Exp(60.0)), 0.05)), ..wide.clone() },
        Regime {
            name: "day sleepers",
            idle: Some((often(5400.0, Uniform(3600.0, 7200.0)), (45.0, 60.0))),
            beyond: Some("the first in the building to be silent for a minute looks like one that left"),
            ..wide.clone()
        },
        Regime { name: "rain", rain: 200.0, ..wide.clone() },
        Regime {
            name: "an hour of rain",
            noise: Some((often(7200.0, Uniform(3000.0, 4200.0)), 0.7)),
            fair: false,
            ..wide.clone()
        },
        Regime { name: "two kinds", other: Some((0.5, (20.0, 40.0))), interval: (0.5, 2.0), ..wide.clone() },
        Regime { name: "in step", interval: (10.0, 10.0), in_step: true, ..wide.clone() },
        Regime { name: "in step stalls", interval: (5.0, 5.0), in_step: true, stall, ..wide.clone() },
        // The filter hides the interval behind its own.
        Regime { name: "filtered", once_in: 10.0, fair: false, ..wide.clone() },
        Regime { name: "filtered stalls", once_in: 5.0, fair: false, stall, ..wide.clone() },
        Regime { name: "off and on again", stall: Some(often(600.0, Uniform(2.0, 8.0))), off: true, ..wide.clone() },
        Regime { name: "gone with the stall", stall, leaves_with_stall: true, ..wide.clone() },
        Regime {
            name: "gone with the restart",
            restart: Some(often(2700.0, Uniform(5.0, 60.0))),
            leaves_with_stall: true,
            ..wide.clone()
        },
        Regime { name: "glimpses", stay: 600.0, glimpses: 0.5, ..wide.clone() },
        Regime {
            name: "trains",
            interval: (20.0, 40.0),
            burst: Some((1.0, 4)),
            apart: 0.5,
            fair: false,
            ..wide.clone()
        },
        Regime { name: "slow stalls", interval: (8.0, 12.0), heard: (0.5, 0.8), stall, ..PLAIN },
        Regime {
            name: "idling restarts",
            interval: (1.0, 2.0),
            heard: (0.7, 0.95),
            idle: Some((often(1800.0, Exp(1200.0)), (8.0, 10.0))),
            restart: Some(often(2700.0, Uniform(5.0, 60.0))),
            ..PLAIN
        },
    ]
}

pub const DRAWN: &str = "drawn";

/// A regime drawn by chance: all that a building may be, in any mixture.
pub fn drawn(seed: u64) -> Regime {
    let mut dice = Dice::new(&format!("a building/{seed}"));
    let log = |dice: &mut Dice, from: f64, to: f64| dice.uniform((from.ln(), to.ln())).exp();
    let quickest = log(&mut dice, 0.3, 12.0);
    let worst = dice.uniform((0.3, 0.9));
    let interval = (quickest, (quickest * dice.uniform((1.0, 6.0))).min(20.0));
    let mut regime = Regime {
        name: DRAWN,
        devices: log(&mut dice, 1.0, 60.0) as usize,
        interval,
        heard: (worst, dice.uniform((worst, 0.98))),
        ..PLAIN
    };
    let sometimes = |dice: &mut Dice, share: f64| dice.unit() < share;
    if sometimes(&mut dice, 0.2) {
        regime.stay = dice.uniform((240.0, 600.0));
    }
    if sometimes(&mut dice, 0.25) {
        regime.ears = 2;
    }
    if sometimes(&mut dice, 0.3) {
        let often = often(log(&mut dice, 300.0, 3600.0), Exp(log(&mut dice, 5.0, 40.0)));
        regime.fade = Some((often, dice.uniform((0.0, 0.1))));
    }
    if sometimes(&mut dice, 0.25) {
        let slower = interval.1 * dice.uniform((2.0, 6.0));
        let often = often(log(&mut dice, 900.0, 7200.0), Exp(log(&mut dice, 600.0, 3600.0)));
        (regime.idle, regime.together) = (Some((often, (slower, slower * 1.25))), sometimes(&mut dice, 0.3));
    }
    if sometimes(&mut dice, 0.4) {
        let least = log(&mut dice, 2.0, 200.0);
        regime.stall = Some(often(log(&mut dice, 40.0, 100.0) * least, Uniform(least, 4.0 * least)));
    }
    if sometimes(&mut dice, 0.25) {
        regime.restart = Some(often(log(&mut dice, 1800.0, 7200.0), Uniform(5.0, 60.0)));
    }
    if sometimes(&mut dice, 0.15) {
        regime.timing = Timing::Jitter(dice.uniform((0.05, 0.3)));
    }
    regime
}
