//! `[judgement]`: where batteries are low and connections flaky.

use std::time::Duration;

use super::check;
use super::read::Table;
use crate::hub::{BatterySettings, FlakySettings};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct JudgementSection {
    pub battery: BatterySettings,
    pub flaky: FlakySettings,
}

impl JudgementSection {
    pub(super) fn read(mut t: Table) -> JudgementSection {
        let JudgementSection { battery: b, flaky } = JudgementSection::default();
        let battery = BatterySettings {
            low_threshold: t.get("low_battery", b.low_threshold, check::fraction),
            critical: t.get("battery_critical", b.critical, check::fraction),
            low: t.get("battery_low", b.low, check::fraction),
            full: t.get("battery_full", b.full, check::fraction),
            rearm: b.rearm,
        };
        if !(battery.critical < battery.low && battery.low < battery.full) {
            t.wrong("battery_low", "is not between battery_critical and battery_full; critical < low < full is right");
        }
        let flaky = FlakySettings {
            losses: t.get("flaky_losses", flaky.losses, check::whole(1..=100)),
            // A day: a device lost more seldom than that is not flaky.
            window: Duration::from_secs(t.get("flaky_window_s", flaky.window.as_secs(), check::whole(60..=86_400))),
        };
        t.end();
        JudgementSection { battery, flaky }
    }
}
