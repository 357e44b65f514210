//! One decoder a device family, pure: bytes in, statements out. Adding one is a file and a line in [`FAMILIES`].
//!
//! ```text
//! Heard ──► family ──► Decoded { family, reject, says: [lock_state = unlocked, battery_percent = 85, …] }
//!                                          ├──► `portcullis decode` prints them as they are
//!                                          └──► signals::signals(): what of it concerns the hub
//! ```
//!
//! A decoder says what the bytes say, in the words of [`Name`]; what that means for a door is decided in one place,
//! [`signals`]. It must never panic, whatever the bytes, and work is bounded by [`MAX_PAYLOAD`].

mod acconeer;
mod airbnk;
mod altbeacon;
mod beckett;
mod beewi;
mod bthome_objects;
mod bthome_v1;
mod bthome_v2;
mod bytes;
mod ccm;
mod eddystone;
mod feasycom;
pub mod fresh;
mod gatt_battery;
mod govee;
mod holyiot;
mod hormann;
mod ibeacon;
mod inode;
mod jaalee;
mod kkm;
mod mibeacon;
mod mibeacon_buttons;
mod mibeacon_lock;
mod mibeacon_objects;
mod mibeacon_products;
mod mikrotik;
mod mocreo;
mod mokosmart;
mod nodon;
mod nuki;
mod oria;
mod print;
mod qingping;
mod ruuvi;
mod say;
pub mod signals;
mod switchbot;
mod teltonika;
#[cfg(test)]
mod testing;
mod tracker;
mod ttlock;
mod yale;

pub use ccm::BindKey;
pub use say::{Name, Statement, Value};
pub use switchbot::model_meant_by;

use serde::Serialize;

use crate::signal::Address;
use crate::source::ble::Advert;
use crate::time::{Mono, Wall};

/// The longest payload that is looked at: an extended advertising event carries at most 1650 bytes (Core 5.4, Vol 4, Part E,
/// 7.8.54). A longer one did not come from a radio.
pub const MAX_PAYLOAD: usize = 1650;

/// What is kept of what a decoder says of one advert: more than the objects of the longest advertising PDU (254 bytes) say.
pub const MAX_STATEMENTS: usize = 256;

/// Room that is made at once: the most that common devices say (a SwitchBot lock). A list that grows costs more than one decoder.
const USUALLY_SAID: usize = 16;

/// An advert as a decoder gets it.
#[derive(Clone, Copy, Debug)]
pub struct Heard<'a> {
    pub advert: &'a Advert,
    pub key: Option<&'a BindKey>,
    pub at: Mono,
}

impl<'a> Heard<'a> {
    pub fn address(&self) -> Address {
        self.advert.address
    }

    /// Service data of a 16-bit UUID.
    pub fn service(&self, short: u16) -> Option<&'a [u8]> {
        self.advert.service_data.get(&super::uuid16(short)).map(Vec::as_slice)
    }

    /// Manufacturer data of a company, without the company's id.
    pub fn company(&self, id: u16) -> Option<&'a [u8]> {
        self.advert.manufacturer_data.get(&id).map(Vec::as_slice)
    }

    pub fn name(&self) -> Option<&'a str> {
        self.advert.name.as_deref()
    }

    /// Whether the advert is from this address; an advert whose sender is not told is from anybody.
    pub fn is_from(&self, address: Address) -> bool {
        self.address() == Address::default() || self.address() == address
    }
}

/// A value read over a connection. `name` is a short UUID in lower case (`2a19`), a long one, or the word that captures and
/// vectors use for a decrypted frame (`keyturner_states_plain`).
#[derive(Clone, Copy, Debug)]
pub struct Gatt<'a> {
    pub name: &'a str,
    pub value: &'a [u8],
}

/// What a decoder remembers of one device from advert to advert. Small and of fixed size: strangers have one too.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// The gate for encryption counters.
    pub counter: fresh::Counter,
    /// The filter for packet ids.
    pub packets: fresh::PacketIds,
    /// The model a family recognised, for adverts that carry state but not the model (SwitchBot without its scan response).
    pub model: Option<&'static str>,
    /// A number of the family's own: the last toggle bit, state number or sequence, to tell a change from a repeat.
    pub last: Option<u32>,
}

/// Why an advert is refused. A refused advert says nothing about state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reject {
    /// Encrypted, and no bind key is configured.
    NoKey,
    /// The tag does not fit: another key, or bytes that were tampered with.
    WrongKey,
    /// A key is configured, and this came in the clear.
    PlaintextWhileKeySet,
    /// An authentic frame of long ago: its counter is below the last one accepted.
    Replay,
    /// The counter of an accepted frame with another content.
    CounterReused,
    /// The same authentic frame again; nothing new.
    IdenticalRepeat,
    /// A packet id that was just heard, or one from before it.
    DuplicatePacketId,
    /// Too short, or a length that points past the end.
    Malformed,
    UnsupportedVersion,
    /// Sound, but nothing in it that could be understood.
    NoDecodableObject,
    /// The frame names another sender than the radio does.
    AddressMismatch,
    UnknownModel,
    /// The family or mode carries no state in adverts (firmware update, pairing).
    NoState,
    /// A value outside what the format allows.
    OutOfRange,
}

impl Reject {
    pub const ALL: [Reject; 14] = [
        Reject::NoKey,
        Reject::WrongKey,
        Reject::PlaintextWhileKeySet,
        Reject::Replay,
        Reject::CounterReused,
        Reject::IdenticalRepeat,
        Reject::DuplicatePacketId,
        Reject::Malformed,
        Reject::UnsupportedVersion,
        Reject::NoDecodableObject,
        Reject::AddressMismatch,
        Reject::UnknownModel,
        Reject::NoState,
        Reject::OutOfRange,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Reject::NoKey => "no_key",
            Reject::WrongKey => "wrong_key",
            Reject::PlaintextWhileKeySet => "plaintext_while_key_set",
            Reject::Replay => "replay",
            Reject::CounterReused => "counter_reused",
            Reject::IdenticalRepeat => "identical_repeat",
            Reject::DuplicatePacketId => "duplicate_packet_id",
            Reject::Malformed => "malformed",
            Reject::UnsupportedVersion => "unsupported_version",
            Reject::NoDecodableObject => "no_decodable_object",
            Reject::AddressMismatch => "address_mismatch",
            Reject::UnknownModel => "unknown_model",
            Reject::NoState => "no_state",
            Reject::OutOfRange => "out_of_range",
        }
    }
}

/// What a decoder made of an advert.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    pub family: &'static str,
    /// Why nothing in it may be believed; `None` is accepted. A refused advert is still a sign of life.
    pub reject: Option<Reject>,
    pub encrypted: bool,
    /// The payload was decrypted and, where the format has a tag, authenticated.
    pub decrypted: bool,
    /// The sender speaks only when something happens (BTHome's trigger bit): its silence says nothing.
    pub irregular: bool,
    /// The sender's counter, where it is authenticated and only goes up.
    pub counter: Option<u32>,
    /// The device's own time of what it says.
    pub occurred_at: Option<Wall>,
    pub says: Vec<Statement>,
}

impl Decoded {
    pub fn new(family: &'static str) -> Decoded {
        Decoded { family, says: Vec::with_capacity(USUALLY_SAID), ..Decoded::default() }
    }

    /// What no family knew.
    pub fn unknown() -> Decoded {
        Decoded::refused("", Reject::NoDecodableObject)
    }

    /// What `read` says; it gives up with `None` where the bytes end too early, and saying nothing is to have found nothing.
    pub fn read(family: &'static str, read: impl FnOnce(&mut Decoded) -> Option<()>) -> Decoded {
        let mut out = Decoded::new(family);
        match read(&mut out) {
            None => out.refuse(Reject::Malformed),
            Some(()) if out.says.iter().all(|s| s.name.is_about_the_frame()) => out.refuse(Reject::NoDecodableObject),
            Some(()) => out,
        }
    }

    pub fn refused(family: &'static str, reject: Reject) -> Decoded {
        Decoded { family, reject: Some(reject), ..Decoded::default() }
    }

    pub fn accepted(&self) -> bool {
        self.reject.is_none()
    }

    pub fn say(&mut self, name: Name, value: impl Into<Value>) {
        if self.says.len() < MAX_STATEMENTS {
            self.says.push(Statement { name, value: value.into() });
        }
    }

    /// Something outside the vocabulary, under the name that the family's peers give it (`other` in the vectors).
    pub fn other(&mut self, name: &'static str, value: impl Into<Value>) {
        self.say(Name::Other(name), value);
    }

    /// Something that happened at a part of the device: `event("button_2", "double_press")`.
    pub fn event(&mut self, device: &'static str, event: &'static str) {
        self.say(Name::Event(device), event);
    }

    /// Percent as most families put it in a byte; above 100 is "unknown" and not said.
    pub fn battery(&mut self, percent: u8) {
        if percent <= 100 {
            self.say(Name::BatteryPercent, percent);
        }
    }

    pub fn get(&self, name: Name) -> Option<&Value> {
        self.says.iter().find(|s| s.name == name).map(|s| &s.value)
    }

    /// Turns it into a refusal: of what was said only the words about the frame itself remain.
    pub fn refuse(mut self, reject: Reject) -> Decoded {
        self.reject = Some(reject);
        self.says.retain(|s| s.name.is_about_the_frame());
        self
    }
}

/// One family: `None` where the advert is not its own.
type Decode = fn(&Heard<'_>, &mut Memory) -> Option<Decoded>;

/// In the order asked: whoever recognises an advert by its own UUID or company goes before whoever guesses.
const FAMILIES: &[Decode] = &[
    bthome_v2::decode,
    bthome_v1::decode,
    mibeacon::decode,
    switchbot::decode,
    ttlock::decode,
    yale::decode,
    nuki::decode,
    airbnk::decode,
    qingping::decode,
    ruuvi::decode,
    teltonika::decode,
    holyiot::decode,
    jaalee::decode,
    hormann::decode,
    mikrotik::decode,
    mocreo::decode,
    oria::decode,
    acconeer::decode,
    beewi::decode,
    kkm::decode,
    mokosmart::decode,
    nodon::decode,
    feasycom::decode,
    beckett::decode,
    inode::decode,
    gatt_battery::decode,
    govee::decode,
    eddystone::decode,
    tracker::decode,
    altbeacon::decode,
    ibeacon::decode,
];

/// One family's reader of GATT values: `None` where the value is not its own.
type DecodeGatt = fn(&Gatt<'_>) -> Option<Decoded>;

const GATT_FAMILIES: &[DecodeGatt] = &[gatt_battery::decode_gatt, yale::decode_gatt, nuki::decode_gatt];

/// What an advert says: the first family that accepts it, or else the first that recognised it.
///
/// Holds for every family: a device with a key is believed only in what its key vouches for.
pub fn decode(advert: &Advert, key: Option<&BindKey>, memory: &mut Memory, at: Mono) -> Option<Decoded> {
    let payloads = || advert.service_data.values().chain(advert.manufacturer_data.values());
    if payloads().any(|payload| payload.len() > MAX_PAYLOAD) {
        return Some(Decoded::refused("", Reject::Malformed));
    }
    let heard = Heard { advert, key, at };
    let mut first_refused = None;
    for family in FAMILIES {
        let Some(mut decoded) = family(&heard, memory) else { continue };
        if decoded.accepted() && key.is_some() && !decoded.decrypted {
            decoded = decoded.refuse(Reject::PlaintextWhileKeySet);
        }
        if decoded.accepted() {
            return Some(decoded);
        }
        first_refused.get_or_insert(decoded);
    }
    first_refused
}

/// A characteristic's name as [`Gatt`] has it: lower case, and short where it is on the Bluetooth base UUID.
pub fn gatt_name(text: &str) -> String {
    let short = text.parse::<uuid::Uuid>().ok().and_then(|uuid| {
        let short = (uuid.as_u128() >> 96) as u32;
        let short = u16::try_from(short).ok()?;
        (super::uuid16(short) == uuid).then(|| format!("{short:04x}"))
    });
    short.unwrap_or_else(|| text.to_ascii_lowercase())
}

/// What a GATT value says.
pub fn decode_gatt(gatt: &Gatt<'_>) -> Option<Decoded> {
    GATT_FAMILIES.iter().find_map(|family| family(gatt))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_counted_under_their_own_names() {
        for (n, reject) in Reject::ALL.into_iter().enumerate() {
            assert_eq!(reject as usize, n);
            assert_eq!(serde_json::to_value(reject).unwrap(), reject.as_str());
        }
    }

    #[test]
    fn a_characteristic_is_named_short_where_it_is_the_specifications() {
        assert_eq!(gatt_name("00002A19-0000-1000-8000-00805F9B34FB"), "2a19");
        assert_eq!(gatt_name("2A19"), "2a19");
        assert_eq!(gatt_name("keyturner_states_plain"), "keyturner_states_plain");
    }
}
