//! What a notification or a value of zwave-js means, where nothing needs to be remembered for it. Pure tables.
//!
//! Numbers of notifications are those of the Z-Wave Notification command class (type, event), as zwave-js passes them on.

use serde_json::Value;

use super::wire::{EntryArgs, ValueState, buffer, cc};
use crate::signal::{CodeNotice, DenyReason, LockState, LockUser, Method, Secret, Signal};

/// Assa Abloy's (Yale's) number with the Z-Wave Alliance.
const YALE: u16 = 0x0129;

/// What an event of the Notification command class means.
pub fn notification(kind: u16, event: u16, parameters: &Value, manufacturer: Option<u16>) -> Option<Signal> {
    let user = user(parameters);
    let slot = user.and_then(|u| u16::try_from(u.0).ok());
    let operation = |locked, method, user| Some(Signal::LockOperation { locked, method, user });
    let denied = |reason| Some(Signal::AccessDenied { reason, user });
    match (kind, event) {
        // Access Control
        (6, 0x01) => operation(true, Method::Manual, None),
        (6, 0x02) => operation(false, Method::Manual, None),
        // By radio: whose command it was is for the hub to know.
        (6, 0x03) => operation(true, Method::Unknown, user),
        (6, 0x04) => operation(false, Method::Unknown, user),
        (6, 0x05 | 0x21 | 0x23) => operation(true, Method::Keycode, user),
        (6, 0x06 | 0x22 | 0x24) => operation(false, Method::Keycode, user),
        (6, 0x09) => operation(true, Method::Automatic, None),
        (6, 0x07 | 0x08 | 0x0a) => Some(Signal::Lock(LockState::NotFullyLocked)),
        (6, 0x0b) => Some(Signal::Lock(LockState::Jammed)),
        (6, 0x0c) => Some(Signal::Code(CodeNotice::AllDeleted)),
        (6, 0x0d) => slot.map(|slot| Signal::Code(CodeNotice::Deleted { slot })),
        (6, 0x0e) => slot.map(|slot| Signal::Code(CodeNotice::Added { slot })),
        (6, 0x0f) => slot.map(|slot| Signal::Code(CodeNotice::Duplicate { slot })),
        (6, 0x10) => denied(DenyReason::KeypadDisabled),
        (6, 0x13) => denied(DenyReason::TooManyAttempts),
        (6, 0x14 | 0x15 | 0x32) => denied(DenyReason::UnknownCode),
        (6, 0x2f) => denied(DenyReason::DisabledCode),
        (6, 0x30) => denied(DenyReason::OutsideSchedule),
        (6, 0x31) => denied(DenyReason::Other),
        (6, 0x16) => Some(Signal::Door { open: true }),
        (6, 0x17) => Some(Signal::Door { open: false }),
        // Yale's own, as zwave-js' device database has it: a valid user outside of the schedule.
        (6, 0xfe) if manufacturer == Some(YALE) => denied(DenyReason::OutsideSchedule),
        // Home Security
        (7, 0x03) => Some(Signal::Tamper(true)),
        (7, 0x04) => denied(DenyReason::UnknownCode),
        (7, 0x07 | 0x08) => Some(Signal::Motion(true)),
        (7, 0x09) => Some(Signal::Moved),
        (7, 0x0a) => Some(Signal::Vibration(true)),
        // Power Management
        (8, 0x0a | 0x0b | 0x0e | 0x0f) => Some(Signal::BatteryLow(true)),
        (8, 0x0c) => Some(Signal::BatteryCharging(true)),
        // System
        (9, 0x06) => Some(Signal::Tamper(true)),
        _ => None,
    }
}

/// The user of a lock's notification. A driver that could read the embedded command says `userId`; what it could not read comes as
/// bytes: one is a user number, two are a user's unique identifier (User Credential command class).
fn user(parameters: &Value) -> Option<LockUser> {
    let id = match parameters.get("userId") {
        Some(id) => id.as_u64().and_then(|id| u32::try_from(id).ok())?,
        None => match buffer(parameters)?[..] {
            [id] => id.into(),
            [high, low] => u32::from(u16::from_be_bytes([high, low])),
            _ => return None,
        },
    };
    // User 0 is "nobody in particular" (one-touch locking).
    (id != 0).then_some(LockUser(id))
}

/// What an Entry Control keypad says. The digits are a secret from here on.
pub fn entry(args: &EntryArgs) -> Option<Signal> {
    /// Event types of the Entry Control command class.
    const BELL: u16 = 15;
    if args.event_type == BELL {
        return Some(Signal::Doorbell);
    }
    let digits = match &args.event_data {
        Value::String(digits) => digits.clone(),
        // Raw bytes, as RFID tags come.
        other => buffer(other).filter(|b| !b.is_empty()).map(hex::encode)?,
    };
    (!digits.is_empty()).then(|| Signal::Code(CodeNotice::Typed { digits: Secret::new(digits) }))
}

/// The state of the bolt that a Door Lock mode says; `None` is "not known" (254) and whatever is no mode at all.
pub fn mode(value: &Value) -> Option<LockState> {
    match value.as_i64()? {
        255 => Some(LockState::Locked),
        // Unsecured; with time-out; inside and outside handles.
        0 | 1 | 16 | 17 | 32 | 33 => Some(LockState::Unlocked),
        _ => None,
    }
}

/// What a value means that needs no memory.
pub fn value(v: &ValueState) -> Option<Signal> {
    let number = v.number();
    match (v.command_class, v.property(), v.key()) {
        (cc::DOOR_LOCK, "doorStatus", _) => match v.value().as_str()? {
            "open" => Some(Signal::Door { open: true }),
            "closed" => Some(Signal::Door { open: false }),
            _ => None,
        },
        (cc::NOTIFICATION, variable, part) => notification_value(variable, part, number?),
        // 0 closed, 252 closing, 253 stopped, 254 opening, 255 open.
        (cc::BARRIER_OPERATOR, "currentState", _) => Some(Signal::Door { open: number? != 0 }),
        (cc::BATTERY, "level", _) => match number? {
            // 0xFF says "low" and no level.
            255 => Some(Signal::BatteryLow(true)),
            percent @ 0..=100 => Some(Signal::Battery { percent: percent as u8 }),
            _ => None,
        },
        (cc::BATTERY, "isLow", _) => Some(Signal::BatteryLow(v.value().as_bool()?)),
        // 0 no, 1 soon, 2 now.
        (cc::BATTERY, "rechargeOrReplace", _) => Some(Signal::BatteryLow(number? >= 1)),
        // 0 discharging, 1 charging, 2 maintaining.
        (cc::BATTERY, "chargingStatus", _) => Some(Signal::BatteryCharging(number? == 1)),
        (cc::MULTILEVEL_SENSOR, sensor, _) => sensor_value(sensor, v.value().as_f64(), v.metadata.unit.as_deref()),
        (cc::BINARY_SENSOR, "Door/Window", _) => Some(Signal::Door { open: v.value().as_bool()? }),
        (cc::BINARY_SENSOR, "Tamper", _) => Some(Signal::Tamper(v.value().as_bool()?)),
        (cc::BINARY_SENSOR, "Motion", _) => Some(Signal::Motion(v.value().as_bool()?)),
        // 0 normal, 1 vacation, 2 privacy, 3 locked out.
        (cc::USER_CODE, "keypadMode", _) => Some(Signal::Privacy(number? == 2)),
        _ => None,
    }
}

fn notification_value(variable: &str, part: &str, state: i64) -> Option<Signal> {
    match (variable, part) {
        // The event numbers, or (with the tilt parameter) event << 8 | parameter.
        ("Access Control", "Door state" | "Door state (simple)") => match state {
            0x16 | 0x1600 | 0x1601 => Some(Signal::Door { open: true }),
            0x17 => Some(Signal::Door { open: false }),
            _ => None,
        },
        // 0 closed, 1 open, 2 tilted.
        ("Access Control", "Opening state") => Some(Signal::Door { open: state != 0 }),
        ("Home Security" | "System", "Cover status") => Some(Signal::Tamper(state != 0)),
        ("Home Security", "Motion sensor status") => Some(Signal::Motion(state != 0)),
        ("Power Management", "Battery maintenance status") => match state {
            0x0a | 0x0b => Some(Signal::BatteryLow(true)),
            0 => Some(Signal::BatteryLow(false)),
            _ => None,
        },
        ("Power Management", "Battery level status") => match state {
            0x0e | 0x0f => Some(Signal::BatteryLow(true)),
            0 | 0x0d => Some(Signal::BatteryLow(false)),
            _ => None,
        },
        ("Power Management", "Battery load status") => Some(Signal::BatteryCharging(state == 0x0c)),
        _ => None,
    }
}

/// A reading of a Multilevel Sensor in the vocabulary's unit.
pub fn sensor_value(sensor: &str, value: Option<f64>, unit: Option<&str>) -> Option<Signal> {
    let value = value.filter(|v| v.is_finite())?;
    match sensor {
        // Sensor type 30; decibels, plain or A-weighted.
        "Loudness" => Some(Signal::SoundLevel { decibels: value as f32 }),
        "Air temperature" => {
            let value = if unit == Some("°F") { (value - 32.0) / 1.8 } else { value };
            Some(Signal::Measured { name: "temperature_c", value })
        }
        "Humidity" => Some(Signal::Measured { name: "humidity_percent", value }),
        "Illuminance" if unit != Some("%") => Some(Signal::Measured { name: "illuminance_lux", value }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_user_is_found_however_the_driver_could_read_it() {
        for (parameters, id) in [
            (json!({"userId": 3}), Some(3)),
            (json!({"type": "Buffer", "data": [4]}), Some(4)),
            (json!({"type": "Buffer", "data": [1, 2]}), Some(258)),
            (json!({"userId": 0}), None),
            (json!(null), None),
            (json!({"type": "Buffer", "data": [131, 8, 1, 0, 5]}), None),
        ] {
            assert_eq!(user(&parameters), id.map(LockUser), "{parameters}");
        }
    }

    #[test]
    fn a_mode_that_is_not_known_is_no_state() {
        assert_eq!(mode(&json!(254)), None);
        assert_eq!(mode(&json!(255)), Some(LockState::Locked));
        for unsecured in [0, 1, 16, 17, 32, 33] {
            assert_eq!(mode(&json!(unsecured)), Some(LockState::Unlocked), "{unsecured}");
        }
    }

    #[test]
    fn an_impossible_battery_level_is_no_reading() {
        let level = |value: i64| {
            value_of(json!({"commandClass": 128, "property": "level", "newValue": value}))
                .and_then(|v| super::value(&v))
        };
        assert_eq!(level(100), Some(Signal::Battery { percent: 100 }));
        assert_eq!(level(255), Some(Signal::BatteryLow(true)));
        for impossible in [-1, 101, 254, 256] {
            assert_eq!(level(impossible), None, "{impossible}");
        }
    }

    fn value_of(value: Value) -> Option<ValueState> {
        serde_json::from_value(value).ok()
    }

    #[test]
    fn fahrenheit_becomes_celsius() {
        let v = value_of(
            json!({"commandClass": 49, "property": "Air temperature", "value": 68.0, "metadata": {"unit": "°F"}}),
        );
        assert_eq!(value(&v.unwrap()), Some(Signal::Measured { name: "temperature_c", value: 20.0 }));
    }
}
