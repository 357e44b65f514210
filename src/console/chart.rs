//! Charts, drawn here as SVG: how a battery went, and when a device was in reach.
//!
//! They are stretched to the width that there is, so words stand beside them, not in them.

use chrono::{DateTime, Duration, Utc};
use chrono_tz::Tz;
use maud::{Markup, html};

use super::words::{count, span};

/// Units of a chart's width.
const WIDTH: f64 = 1000.0;

/// A span of time that a chart is about.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
}

impl Window {
    /// The last days, but for the time before anything was known; ten minutes at least.
    pub fn days(days: i64, known: DateTime<Utc>, to: DateTime<Utc>) -> Window {
        Window { from: known.min(to - Duration::minutes(10)).max(to - Duration::days(days)), to }
    }

    /// `the last 7 days`, `the last 2 h 5 min`
    fn words(&self) -> String {
        let whole = self.to - self.from;
        match whole.num_days() {
            0 | 1 => format!("the last {}", span(whole.num_seconds() as f64)),
            days => format!("the last {days} days"),
        }
    }

    fn x(&self, at: DateTime<Utc>) -> f64 {
        let whole = (self.to - self.from).num_milliseconds().max(1) as f64;
        (WIDTH * (at - self.from).num_milliseconds() as f64 / whole).clamp(0.0, WIDTH)
    }

    fn labels(&self, zone: Tz) -> Markup {
        let format = if (self.to - self.from).num_days() <= 1 { "%H:%M" } else { "%-d %b" };
        let label = |at: DateTime<Utc>| at.with_timezone(&zone).format(format).to_string();
        html! { div.axis aria-hidden="true" { span { (label(self.from)) } span { (label(self.from + (self.to - self.from) / 2)) } span { "now" } } }
    }
}

/// From then on it was so.
pub type Turn<T> = (DateTime<Utc>, T);

/// A lane of time in which something was one way or the other; before the first turn nothing is known.
pub struct Lane {
    pub name: &'static str,
    pub class: &'static str,
    pub turns: Vec<Turn<bool>>,
}

impl Lane {
    /// Parts of the window, each with how it was.
    fn parts(&self, window: Window) -> Vec<(DateTime<Utc>, DateTime<Utc>, bool)> {
        let ends = self.turns.iter().skip(1).map(|(at, _)| *at).chain([window.to]);
        let parts =
            self.turns.iter().zip(ends).map(|((from, is), to)| ((*from).max(window.from), to.min(window.to), *is));
        parts.filter(|(from, to, _)| from < to).collect()
    }

    /// How often and how long it was the other way.
    pub fn outs(&self, window: Window) -> (usize, f64) {
        let outs = self.parts(window).into_iter().filter(|(.., is)| !is);
        outs.fold((0, 0.0), |(n, s), (from, to, _)| (n + 1, s + (to - from).num_milliseconds() as f64 / 1000.0))
    }

    fn show(&self, window: Window, summary: &str) -> Markup {
        html! {
            div.lane {
                span.of { (self.name) }
                svg class=(self.class) viewBox="0 0 1000 20" preserveAspectRatio="none" role="img" aria-label=(summary) {
                    rect.ground x="0" y="0" width="1000" height="20" {}
                    @for (from, to, is) in self.parts(window) {
                        // A short one is seen all the same.
                        @let (x, width) = (window.x(from), (window.x(to) - window.x(from)).max(1.5));
                        // Not by its colour alone.
                        @if is { rect.is x=(f(x)) y="0" width=(f(width)) height="20" {} }
                        @else { rect.not x=(f(x)) y="12" width=(f(width)) height="8" {} }
                    }
                }
            }
        }
    }
}

/// Presence, and how a door was, one over the other.
pub fn timeline(reach: &Lane, door: Option<&Lane>, window: Window, zone: Tz) -> Markup {
    let within = window.words();
    let (outs, seconds) = reach.outs(window);
    let summary = match outs {
        _ if reach.turns.is_empty() => format!("Nothing is known of {within}."),
        0 if reach.turns[0].0 > window.from => "In reach since it is known.".to_owned(),
        0 => format!("In reach all of {within}."),
        n => format!("Out of reach {} in {within}, {} together.", count(n, "time", "times"), span(seconds)),
    };
    html! {
        p { (summary) }
        div.chart {
            (reach.show(window, &summary))
            @if let Some(door) = door {
                @let (opened, _) = door.outs(window);
                (door.show(window, &format!("Unlocked {} in {within}.", count(opened, "time", "times"))))
            }
            (window.labels(zone))
        }
    }
}

/// What is known of a battery at a moment: its level, or only its band.
#[derive(Clone, Debug, PartialEq)]
pub struct Charge {
    pub level: Option<f64>,
    pub band: Option<String>,
}

/// The levels that a band goes from and to.
fn band(name: &str) -> (f64, f64) {
    match name {
        "critical" => (0.0, 0.05),
        "low" => (0.05, 0.20),
        "good" => (0.20, 0.85),
        _ => (0.85, 1.0),
    }
}

/// Bands as areas, since that is all that their events say, and levels as points.
pub fn battery(turns: &[Turn<Charge>], window: Window, zone: Tz) -> Markup {
    let y = |level: f64| 100.0 * (1.0 - level.clamp(0.0, 1.0));
    let banded: Vec<(DateTime<Utc>, &str)> =
        turns.iter().filter_map(|(at, c)| Some((*at, c.band.as_deref()?))).collect();
    let ends = banded.iter().skip(1).map(|(at, _)| *at).chain([window.to]);
    let areas = banded
        .iter()
        .zip(ends)
        .map(|((from, name), to)| (window.x(*from), window.x(to), *name))
        .filter(|(a, b, _)| a < b);
    let points: Vec<(f64, f64)> = turns
        .iter()
        .filter(|(at, _)| *at >= window.from)
        .filter_map(|(at, c)| Some((window.x(*at), y(c.level?))))
        .collect();
    let said = turns.last().map_or("Nothing is known.".to_owned(), |(_, charge)| match (charge.level, &charge.band) {
        (Some(level), _) => format!("Now {:.0} %.", level * 100.0),
        (None, Some(band)) => format!("Now {band}."),
        _ => "Nothing is known.".to_owned(),
    });
    html! {
        div.chart.levels {
            svg.battery viewBox="0 0 1000 100" preserveAspectRatio="none" role="img" aria-label={ "The battery over " (window.words()) ". " (said) } {
                rect.ground x="0" y="0" width="1000" height="100" {}
                @for (from, to, name) in areas {
                    @let (low, high) = band(name);
                    rect class={ "band " (name) } x=(f(from)) y=(f(y(high))) width=(f((to - from).max(1.5))) height=(f(y(low) - y(high))) {}
                }
                path.mark d="M0 80H1000" {}
                @if points.len() > 1 { path.line d={ "M" (points.iter().map(|(x, y)| format!("{} {}", f(*x), f(*y))).collect::<Vec<_>>().join("L")) } {} }
                @for (x, y) in &points { path.point d={ "M" (f(*x)) " " (f(*y)) "h.01" } {} }
            }
            div.scale aria-hidden="true" { span.y100 { "100 %" } span.y20 { "20 %" } span.y0 { "0 %" } }
            (window.labels(zone))
        }
    }
}

fn f(n: f64) -> String {
    format!("{n:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + Duration::hours(hours)
    }

    #[test]
    fn a_lane_knows_only_what_it_was_told_and_what_began_before_the_window() {
        let window = Window { from: at(24), to: at(48) };
        let lane = |turns| Lane { name: "", class: "", turns };
        assert_eq!(lane(vec![]).outs(window), (0, 0.0));
        // Lost before, back in the middle, lost for an hour.
        let turns = vec![(at(0), true), (at(20), false), (at(30), true), (at(40), false), (at(41), true)];
        assert_eq!(lane(turns.clone()).outs(window), (2, 7.0 * 3600.0));
        assert_eq!(lane(turns).parts(window).first(), Some(&(at(24), at(30), false)));
        assert_eq!(lane(vec![(at(47), true)]).parts(window), [(at(47), at(48), true)]);
    }

    #[test]
    fn what_was_before_it_was_known_is_not_claimed() {
        let window = Window { from: at(24), to: at(48) };
        let said = |turns| timeline(&Lane { name: "", class: "", turns }, None, window, Tz::UTC).into_string();
        assert!(said(vec![]).contains("Nothing is known of"));
        assert!(said(vec![(at(40), true)]).contains("In reach since it is known."));
        assert!(said(vec![(at(20), true)]).contains("In reach all of the last 1 d"));
        assert!(said(vec![(at(20), true), (at(30), false), (at(31), true)]).contains("Out of reach 1 time in"));
    }

    #[test]
    fn an_event_outside_the_window_is_drawn_at_its_edge_and_never_beyond() {
        let window = Window { from: at(24), to: at(48) };
        let charge = |level, band: &str| Charge { level, band: Some(band.into()) };
        let turns = vec![
            (at(0), charge(Some(0.9), "full")),
            (at(36), charge(None, "good")),
            (at(48), charge(Some(0.5), "good")),
        ];
        let drawn = battery(&turns, window, Tz::UTC).into_string();
        assert!(drawn.contains(r#"class="band full" x="0.0" y="0.0" width="500.0" height="15.0""#), "{drawn}");
        assert_eq!(drawn.matches("class=\"point\"").count(), 1, "{drawn}");
    }
}
