//! What Seam knows and no hub has: customers, spaces, access systems, thermostats. A client of Seam's may ask for it, and finds none.

use std::collections::BTreeSet;

use axum::http::StatusCode;

use super::envelope::ApiError;
use super::params::Params;
use crate::event::EventType;

/// What events may be narrowed to at Seam, one or several. What is narrowed to one of these is nobody's.
const FILTERS: [(&str, &str); 13] = [
    ("customer_key", ""),
    ("connect_webview_id", ""),
    ("space_id", "space_ids"),
    ("user_identity_id", ""),
    ("access_grant_id", "access_grant_ids"),
    ("access_method_id", "access_method_ids"),
    ("acs_system_id", "acs_system_ids"),
    ("acs_user_id", ""),
    ("acs_entrance_id", ""),
    ("acs_credential_id", ""),
    ("acs_encoder_id", ""),
    ("acs_access_group_id", ""),
    ("unstable_location_id", ""),
];

/// Events of Seam's (`@seamapi/types` 1.977.0) that have no cause in a building.
const EVENTS: [&str; 57] = [
    "access_code.delay_in_issuing",
    "access_code.failed_to_expire",
    "access_code.failed_to_issue",
    "access_code.failed_to_update",
    "access_code.issued",
    "access_code.mutations_requested",
    "access_grant.access_granted_to_all_doors",
    "access_grant.access_granted_to_door",
    "access_grant.access_times_changed",
    "access_grant.access_to_door_lost",
    "access_grant.could_not_create_requested_access_methods",
    "access_grant.created",
    "access_grant.deleted",
    "access_method.card_encoding_required",
    "access_method.created",
    "access_method.delay_in_issuing",
    "access_method.deleted",
    "access_method.failed_to_issue",
    "access_method.issued",
    "access_method.reissued",
    "access_method.revoked",
    "acs_access_group.deleted",
    "acs_credential.deleted",
    "acs_credential.invalidated",
    "acs_credential.issued",
    "acs_credential.reissued",
    "acs_encoder.added",
    "acs_encoder.removed",
    "acs_entrance.added",
    "acs_entrance.removed",
    "acs_system.added",
    "acs_system.connected",
    "acs_system.disconnected",
    "acs_user.created",
    "acs_user.deleted",
    "action_attempt.simulate_keypad_code_entry.failed",
    "action_attempt.simulate_keypad_code_entry.succeeded",
    "action_attempt.simulate_manual_lock_via_keypad.failed",
    "action_attempt.simulate_manual_lock_via_keypad.succeeded",
    "camera.activated",
    "client_session.deleted",
    "connect_webview.login_failed",
    "connect_webview.login_succeeded",
    "connected_account.reauthorization_requested",
    "device.error.subscription_required",
    "device.error.subscription_required.resolved",
    "enrollment_automation.deleted",
    "phone.deactivated",
    "space.created",
    "space.deleted",
    "space.device_membership_changed",
    "thermostat.climate_preset_activated",
    "thermostat.manually_adjusted",
    "thermostat.temperature_changed",
    "thermostat.temperature_reached_set_point",
    "thermostat.temperature_threshold_exceeded",
    "thermostat.temperature_threshold_no_longer_exceeded",
];

/// Whether events are narrowed to something of the kind.
pub fn is_asked(params: &mut Params) -> bool {
    // Each is asked for, so that the document of the API has them all.
    FILTERS.iter().filter_map(|(key, plural)| params.texts(key, plural)).count() > 0
}

/// The types of these names: those that a hub tells, and the names of the others.
pub fn event_types(names: &[String]) -> Result<(BTreeSet<EventType>, Vec<String>), ApiError> {
    let (mut told, mut others) = (BTreeSet::new(), Vec::new());
    for name in names {
        match name.parse::<EventType>() {
            Ok(event_type) => drop(told.insert(event_type)),
            Err(_) if EVENTS.contains(&name.as_str()) => others.push(name.clone()),
            Err(unknown) => {
                return Err(ApiError::new(StatusCode::BAD_REQUEST, "invalid_event_types", unknown.to_string()));
            }
        }
    }
    Ok((told, others))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_seam_knows_is_no_mistake_and_no_hub_tells_it() {
        assert!(EVENTS.iter().all(|name| name.parse::<EventType>().is_err()));
        let names = ["lock.locked", "acs_user.created", "lock.unlocked"].map(str::to_owned);
        let (told, others) = event_types(&names).unwrap();
        assert_eq!(told, [EventType::LockLocked, EventType::LockUnlocked].into());
        assert_eq!(others, ["acs_user.created"]);
        assert!(event_types(&["lock.opened".to_owned()]).is_err());
    }
}
