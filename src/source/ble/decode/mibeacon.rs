//! Xiaomi MiBeacon, versions 2 to 5: service data of UUID 0xFE95 (a few locks send the same as manufacturer data).
//! Sources: iot.mi.com "MiBeacon protocol" and object definitions; xiaomi-ble, ble_monitor and Theengs for what devices do.
//!
//! ```text
//! [0..2] frame control LE: bit 3 encrypted, 4 MAC, 5 capability, 6 object, 7 mesh, 12-15 version
//! [2..4] product LE     [4] frame counter
//! then, where flagged:  MAC (6, reversed) | capability (1; with its bit 0x20, 2 bytes of I/O capability) | payload
//! payload: objects, type LE16 | length | data
//! sealed, v4-5: ciphertext | counter, upper 3 bytes | tag (4); nonce: MAC reversed | product | frame counter | upper 3 bytes
//! sealed, v2-3: ciphertext | counter, upper 3 bytes | checksum (1), no tag; nonce: frame[0..5] | upper 3 bytes | MAC reversed[0..5]
//! ```
//!
//! AES-CCM with the associated data 0x11. Frame counter and upper bytes together are a 32-bit counter that goes up. Nothing
//! vouches for a frame of version 2 or 3, encrypted or not: its lock and door objects are not taken from a sealed one, where a
//! wrong key would make some up. A product that no table knows is refused, as objects mean different things on different ones.

use super::fresh::fingerprint;
use super::mibeacon_objects::{self as objects, Trust};
use super::mibeacon_products::model;
use super::{Decoded, Heard, Memory, Name, Reject};

const UUID: u16 = 0xFE95;

/// The shortest sealed payload of version 4 and 5: peers and the specification's own objects have at least two bytes more than
/// counter and tag.
const SEALED_MIN: usize = 9;

/// The same for version 2 and 3: an object's head, counter and checksum.
const SEALED_MIN_LEGACY: usize = 7;

/// Objects looked at in one frame: what the longest advertising PDU has room for, at three bytes each.
const MAX_OBJECTS: usize = 84;

pub fn decode(heard: &Heard<'_>, memory: &mut Memory) -> Option<Decoded> {
    let data = heard.service(UUID).or_else(|| heard.company(UUID))?;
    let mut out = Decoded::new("mibeacon");
    Some(match read(heard, data, memory, &mut out) {
        Ok(()) => out,
        Err(reject) => {
            if reject == Reject::NoDecodableObject {
                out.say(Name::LivenessOnly, true);
            }
            out.refuse(reject)
        }
    })
}

fn read(heard: &Heard<'_>, data: &[u8], memory: &mut Memory, out: &mut Decoded) -> Result<(), Reject> {
    let (head, mut rest) = data.split_first_chunk::<5>().ok_or(Reject::Malformed)?;
    let control = u16::from_le_bytes([head[0], head[1]]);
    let flag = |bit: u32| control >> bit & 1 != 0;
    let version = control >> 12;
    out.say(Name::FrameCounter, head[4]);
    out.encrypted = flag(3) && flag(6);
    if flag(7) {
        return Err(Reject::NoState); // mesh: another protocol in the same frame
    }
    if version < 2 {
        return Err(Reject::UnsupportedVersion);
    }
    let mut mac = heard.address().0;
    if flag(4) {
        let (included, after) = rest.split_first_chunk::<6>().ok_or(Reject::Malformed)?;
        let mut included = *included;
        included.reverse();
        // A line of `decode` may not know the address; then it is the one in the frame.
        if included != mac && mac != [0; 6] {
            return Err(Reject::AddressMismatch);
        }
        (mac, rest) = (included, after);
    }
    let model = model(u16::from_le_bytes([head[2], head[3]])).ok_or(Reject::UnknownModel)?;
    if flag(5) {
        let (capability, after) = rest.split_first().ok_or(Reject::Malformed)?;
        let io = if capability & 0x20 != 0 { 2 } else { 0 };
        rest = after.get(io..).ok_or(Reject::Malformed)?;
    }
    if !flag(6) {
        return Err(Reject::NoDecodableObject);
    }
    if !out.encrypted {
        return objects(rest, model, Trust::Full, out).or(Err(Reject::NoDecodableObject));
    }
    let key = heard.key.ok_or(Reject::NoKey)?;
    mac.reverse();
    if version >= 4 {
        if rest.len() < SEALED_MIN {
            return Err(Reject::Malformed);
        }
        let (rest, tag) = rest.split_last_chunk::<4>().ok_or(Reject::Malformed)?;
        let (sealed, upper) = rest.split_last_chunk::<3>().ok_or(Reject::Malformed)?;
        let mut nonce = [0; 12];
        nonce[..6].copy_from_slice(&mac);
        nonce[6..9].copy_from_slice(&head[2..]);
        nonce[9..].copy_from_slice(upper);
        let mut plain = Vec::new();
        key.open(&nonce, &[0x11], sealed, *tag, &mut plain).ok_or(Reject::WrongKey)?;
        out.decrypted = true;
        let counter = u32::from_le_bytes([head[4], upper[0], upper[1], upper[2]]);
        out.counter = Some(counter);
        memory.counter.admit(counter, fingerprint(data), heard.at)?;
        return objects(&plain, model, Trust::Full, out).or(Err(Reject::NoDecodableObject));
    }
    if rest.len() < SEALED_MIN_LEGACY {
        return Err(Reject::Malformed);
    }
    let (sealed, tail) = rest.split_last_chunk::<4>().ok_or(Reject::Malformed)?;
    let mut nonce = [0; 13];
    nonce[..5].copy_from_slice(head);
    nonce[5..8].copy_from_slice(&tail[..3]);
    nonce[8..].copy_from_slice(&mac[..5]);
    let plain = key.stream(&nonce, sealed).ok_or(Reject::WrongKey)?;
    // With a wrong key the object's length is wrong, too, save by chance.
    objects(&plain, model, Trust::Hint, out)
        .map_err(|cut_off| if cut_off { Reject::WrongKey } else { Reject::NoDecodableObject })?;
    out.decrypted = true;
    Ok(())
}

/// Says what the objects say. `Err` where nothing was understood; true in it: an object reached past the end.
fn objects(mut payload: &[u8], model: &'static str, trust: Trust, out: &mut Decoded) -> Result<(), bool> {
    let before = out.says.len();
    let mut cut_off = payload.len() < 3;
    for _ in 0..MAX_OBJECTS {
        let [low, high, len, rest @ ..] = payload else { break };
        let Some((data, rest)) = rest.split_at_checked(usize::from(*len)) else {
            cut_off = true;
            break;
        };
        objects::say(u16::from_le_bytes([*low, *high]), data, model, trust, out);
        payload = rest;
    }
    if out.says.len() > before { Ok(()) } else { Err(cut_off) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ble::decode::{BindKey, Value};
    use crate::source::ble::{Advert, uuid16};
    use crate::time::Mono;

    fn said(frame: &str, key: Option<&BindKey>) -> Decoded {
        let data = [(uuid16(UUID), hex::decode(frame).unwrap())].into();
        let advert = Advert { service_data: data, ..Advert::default() };
        let heard = Heard { advert: &advert, key, at: Mono(0) };
        decode(&heard, &mut Memory::default()).unwrap()
    }

    /// An object from a lock, an XMZNMS08LM, or a safe.
    fn object(product: &str, object: &str) -> Decoded {
        said(&format!("4040{product}11{object}"), None)
    }

    #[test]
    fn a_knock_and_a_stuck_leaf_say_nothing_of_the_doors_position() {
        for (code, name) in [("03", Name::DoorKnock), ("05", Name::DoorStuck)] {
            let said = object("390e", &format!("070001{code}"));
            assert_eq!((said.get(Name::DoorOpen), said.get(name)), (None, Some(&Value::Bool(true))));
        }
    }

    #[test]
    fn what_does_not_move_the_bolt_says_nothing_of_it() {
        for action in [2, 3, 6, 7, 15] {
            let said = object("390e", &format!("0b0009a{action:x}000000000000005f"));
            assert!(said.accepted() && said.get(Name::LockState).is_none(), "action {action}");
        }
    }

    #[test]
    fn an_alarm_is_no_user() {
        for (key, tamper) in [("0300dec0", true), ("1000dec0", true), ("0400dec0", true), ("0500dec0", false)] {
            let said = object("390e", &format!("0b0009ff{key}0000005f"));
            assert!(said.get(Name::Alarm).is_some() && said.get(Name::LockUserId).is_none());
            assert_eq!(said.get(Name::Tamper).is_some(), tamper, "{key}");
        }
    }

    #[test]
    fn a_safe_has_a_door_of_its_own_kind_and_a_contact_that_is_torn_off_is_tampered_with() {
        assert_eq!(object("b009", "0f100101").get(Name::DoorOpen), Some(&Value::Bool(true)));
        assert_eq!(object("b009", "0f100100").get(Name::DoorOpen), Some(&Value::Bool(false)));
        let torn = object("8918", "0f4a0101");
        assert_eq!(torn.get(Name::Tamper), Some(&Value::Bool(true)));
    }

    #[test]
    fn what_no_tag_vouches_for_moves_no_bolt() {
        let key = BindKey::new(*b"twelve bytes");
        // Sealed as version 3, by the stream that unseals it: product XMZNMS08LM, a lock event and a battery.
        let head = [0x48, 0x30, 0x39, 0x0e, 0x11];
        let mut nonce = [0; 13];
        nonce[..5].copy_from_slice(&head);
        let objects = hex::decode("0b000920020001800000005f0a100130").unwrap();
        let sealed = key.stream(&nonce, &objects).unwrap();
        let said = said(&hex::encode([&head[..], &sealed, &[0; 4]].concat()), Some(&key));
        assert_eq!(said.get(Name::BatteryPercent), Some(&Value::Int(48)));
        assert_eq!(said.get(Name::LockState), None);
    }
}
