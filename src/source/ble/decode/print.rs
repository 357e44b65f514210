//! How a decoded advert is printed by `portcullis decode`, `scan` and tests: the names and units of the vocabulary.
//!
//! ```json
//! {"family":"bthome_v2","accepted":true,"signals":{"encrypted":false,"door_open":true,"opening_kind":"door"}}
//! ```
//!
//! Names outside the vocabulary are printed within `other`, what happened at a button or dimmer within `events`.

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::{Decoded, Name, Statement, Value};

impl Serialize for Decoded {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(None)?;
        map.serialize_entry("family", &Some(self.family).filter(|family| !family.is_empty()))?;
        map.serialize_entry("accepted", &self.accepted())?;
        if let Some(reject) = self.reject {
            map.serialize_entry("reject", reject.as_str())?;
        }
        map.serialize_entry("signals", &Signals(self))?;
        map.end()
    }
}

struct Signals<'a>(&'a Decoded);

impl Serialize for Signals<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let Signals(decoded) = self;
        let mut map = s.serialize_map(None)?;
        map.serialize_entry("encrypted", &decoded.encrypted)?;
        if decoded.encrypted {
            map.serialize_entry("decrypt_ok", &decoded.decrypted)?;
        }
        // A name said twice is printed once, as it was said last: an object holds each name once.
        let last = |n: usize, name: Name| decoded.says[n + 1..].iter().all(|s| s.name != name);
        for (n, Statement { name, value }) in decoded.says.iter().enumerate() {
            if name.is_of_the_vocabulary() && last(n, *name) {
                map.serialize_entry(name.as_str(), value)?;
            }
        }
        let says = |f: fn(&Name) -> bool| decoded.says.iter().any(|s| f(&s.name));
        if says(Name::is_event) {
            map.serialize_entry("events", &Events(decoded))?;
        }
        if says(Name::is_other) {
            map.serialize_entry("other", &Other(decoded))?;
        }
        map.end()
    }
}

struct Events<'a>(&'a Decoded);

impl Serialize for Events<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut list = s.serialize_seq(None)?;
        self.0.says.iter().filter(|s| s.name.is_event()).try_for_each(|said| list.serialize_element(&Event(said)))?;
        list.end()
    }
}

/// `{"device":"dimmer","event":"rotate_left","properties":{"steps":3}}`
struct Event<'a>(&'a Statement);

impl Serialize for Event<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(None)?;
        map.serialize_entry("device", &Text(self.0.name))?;
        match &self.0.value {
            Value::Record(fields) => {
                let (events, properties) = fields.split_at(fields.len().min(1));
                for (name, value) in events {
                    map.serialize_entry(name, value)?;
                }
                map.serialize_entry("properties", &Fields(properties))?;
            }
            event => map.serialize_entry("event", event)?,
        }
        map.end()
    }
}

struct Other<'a>(&'a Decoded);

impl Serialize for Other<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map(self.0.says.iter().filter(|s| s.name.is_other()).map(|s| (Text(s.name), &s.value)))
    }
}

struct Fields<'a>(&'a [(&'static str, Value)]);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// A name with the number of its instance.
struct Text(Name);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&self.0)
    }
}
