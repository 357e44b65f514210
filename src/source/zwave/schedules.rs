//! The commands that give a lock dates and set its clock, and what their answers say. Pure.
//!
//! Dates are a year day schedule of the Schedule Entry Lock command class, the first of the slot's user: setting one enables it. Its times
//! are minutes of the lock's own clock, its years those of a century. How the clock is set is the driver's business (Time Parameters, Clock
//! or Time, whichever the lock has); it sets the time of its own machine's place, and from version 2 on tells the lock how far that is
//! ahead of UTC.
//!
//! Sources: `@zwave-js/cc` 15.29 (ScheduleEntryLockCC), `Node.setDateAndTime` and `getDateAndTime` of `zwave-js` 15.29.

use chrono::{Datelike, NaiveDate, NaiveDateTime, Timelike};
use serde_json::{Value, json};

use super::codes::Step;
use super::wire::{Answer, cc};
use crate::signal::{CodeNotice, LockTime, Schedule};

/// Locks have at least one schedule a user.
const FIRST: u8 = 1;

const CENTURY: i32 = 2000;

/// The command, but for its id and its node.
pub fn command(step: Step, slot: u16, schedule: Option<Schedule>) -> Value {
    let dates = |method: &str, args: Value| json!({"command": "endpoint.invoke_cc_api", "commandClass": cc::SCHEDULE_ENTRY_LOCK, "methodName": method, "args": args});
    let place = json!({"userId": slot, "slotId": FIRST});
    match step {
        Step::SetDates => dates("setYearDaySchedule", json!([place, schedule.map(written)])),
        Step::DisableDates => dates("setEnabled", json!([false, slot])),
        Step::EraseDates => dates("setYearDaySchedule", json!([place])),
        Step::SetClock => json!({"command": "node.set_date_and_time"}),
        Step::GetPlace => dates("getTimezone", json!([])),
        Step::GetClock => json!({"command": "node.get_date_and_time"}),
        _ => dates("getYearDaySchedule", json!([place])),
    }
}

fn written(schedule: Schedule) -> Value {
    let Schedule { from, until } = schedule;
    json!({
        "startYear": from.year() - CENTURY, "startMonth": from.month(), "startDay": from.day(),
        "startHour": from.hour(), "startMinute": from.minute(),
        "stopYear": until.year() - CENTURY, "stopMonth": until.month(), "stopDay": until.day(),
        "stopHour": until.hour(), "stopMinute": until.minute(),
    })
}

/// What the reading of a slot's dates says. A driver says the same of a lock that does not answer and of one that has none.
pub fn read(slot: u16, answer: &Answer) -> CodeNotice {
    let response = answer.result.get("response").unwrap_or(&Value::Null);
    let time = |name: &str| -> Option<NaiveDateTime> {
        let number = |unit: &str| u32::try_from(response.get(format!("{name}{unit}"))?.as_u64()?).ok();
        let year = CENTURY.checked_add(i32::try_from(number("Year")?).ok()?)?;
        NaiveDate::from_ymd_opt(year, number("Month")?, number("Day")?)?.and_hms_opt(
            number("Hour")?,
            number("Minute")?,
            0,
        )
    };
    let schedule = time("start").zip(time("stop")).map(|(from, until)| Schedule { from, until });
    CodeNotice::Schedule { slot, schedule }
}

/// What the lock says of its place. Version 1 of the command class does not know.
pub fn place(answer: &Answer) -> Option<CodeNotice> {
    let minutes = |name: &str| answer.result.pointer(&format!("/response/{name}"))?.as_i64()?.try_into().ok();
    Some(CodeNotice::Place { standard: minutes("standardOffset")?, summer: minutes("dstOffset")? })
}

/// What the reading of a clock says.
pub fn clock(answer: &Answer, utc: bool) -> CodeNotice {
    let number = |name: &str| answer.result.pointer(&format!("/dateAndTime/{name}"))?.as_u64();
    let time = number("hour").zip(number("minute")).filter(|(hour, minute)| *hour < 24 && *minute < 60);
    CodeNotice::Clock(time.map(|(hour, minute)| LockTime { minute_of_day: (hour * 60 + minute) as u16, utc }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(result: Value) -> Answer {
        serde_json::from_value(json!({"messageId": "task:2:1", "success": true, "result": result})).unwrap()
    }

    fn schedule() -> Schedule {
        let date = |month, day| NaiveDate::from_ymd_opt(2026, month, day).unwrap();
        Schedule {
            from: date(11, 30).and_hms_opt(15, 0, 0).unwrap(),
            until: date(12, 2).and_hms_opt(11, 5, 0).unwrap(),
        }
    }

    #[test]
    fn dates_are_written_in_years_of_the_century_and_read_back_as_they_were() {
        let command = command(Step::SetDates, 7, Some(schedule()));
        assert_eq!(command["methodName"], "setYearDaySchedule");
        assert_eq!(command["args"][0], json!({"userId": 7, "slotId": 1}));
        let written = command["args"][1].clone();
        assert_eq!(
            (&written["startYear"], &written["stopHour"], &written["stopMinute"]),
            (&json!(26), &json!(11), &json!(5))
        );
        let read = |response: Value| read(7, &answer(json!({"response": response})));
        assert_eq!(read(written.clone()), CodeNotice::Schedule { slot: 7, schedule: Some(schedule()) });
        for odd in [json!(null), json!({}), json!({"startYear": 26}), json!({"startYear": -1})] {
            assert_eq!(read(odd), CodeNotice::Schedule { slot: 7, schedule: None });
        }
        let mut odd = written;
        odd["stopMonth"] = json!(13);
        assert_eq!(read(odd), CodeNotice::Schedule { slot: 7, schedule: None });
    }

    #[test]
    fn a_place_is_known_where_the_lock_tells_it() {
        let vienna = answer(json!({"response": {"standardOffset": 60, "dstOffset": 120}}));
        assert_eq!(place(&vienna), Some(CodeNotice::Place { standard: 60, summer: 120 }));
        for odd in [json!({}), json!({"response": {"standardOffset": 60}})] {
            assert_eq!(place(&answer(odd)), None);
        }
    }

    #[test]
    fn a_clock_is_what_it_shows_or_nothing() {
        let read = |time: Value| clock(&answer(json!({"dateAndTime": time})), true);
        let time = |minute_of_day| CodeNotice::Clock(Some(LockTime { minute_of_day, utc: true }));
        assert_eq!(read(json!({"hour": 15, "minute": 4, "second": 59, "year": 2026})), time(15 * 60 + 4));
        for odd in [json!({}), json!({"hour": 15}), json!({"hour": 24, "minute": 0}), json!(null)] {
            assert_eq!(read(odd), CodeNotice::Clock(None));
        }
    }
}
