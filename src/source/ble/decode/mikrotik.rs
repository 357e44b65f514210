//! MikroTik tags TG-BT5: company 0x094F, 18 bytes, little-endian.
//!
//! ```text
//! [0] version  [1] bit 0 encrypted  [2..4] salt  [4..10] x, y, z s8.8 m/s²  [10..12] s8.8 °C, 0x8000 without sensor
//! [12..16] seconds since boot  [16] bit 0 reed switch closed, 1 tilt, 2 drop, 3-5 impact x, y, z  [17] battery %
//! ```
//!
//! Source: MikroTik "Bluetooth tag-tag" manual, ble_monitor 5690220.

use super::bytes::{Bytes, bit};
use super::{Decoded, Heard, Memory, Name, Reject};

const FAMILY: &str = "mikrotik";
const COMPANY: u16 = 0x094F;
const LENGTH: usize = 18;

pub fn decode(heard: &Heard<'_>, _memory: &mut Memory) -> Option<Decoded> {
    let data = heard.company(COMPANY)?;
    if data.len() != LENGTH {
        return Some(Decoded::refused(FAMILY, Reject::Malformed));
    }
    let (modes, temperature, uptime, [flags, battery]) =
        (data.u8(1)?, data.i16_le(10)?, data.u32_le(12)?, data.array(16)?);
    let mut out = Decoded::new(FAMILY);
    if bit(modes, 0) {
        out.encrypted = true;
        return Some(out.refuse(Reject::NoKey));
    }
    if temperature != i16::MIN {
        out.say(Name::TemperatureC, f64::from(temperature) / 256.0);
    }
    out.battery(battery);
    out.say(Name::UptimeS, uptime);
    out.other("switch", bit(flags, 0));
    out.other("tilt", bit(flags, 1));
    out.other("dropping", bit(flags, 2));
    out.other("impact", flags & 0x38 != 0);
    for (name, at) in [("acceleration x", 4), ("acceleration y", 6), ("acceleration z", 8)] {
        out.other(name, f64::from(data.i16_le(at)?) / 256.0);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ble::decode::testing::*;

    #[test]
    fn a_tag_tells_climate_and_knocks_unless_it_is_sealed() {
        check(
            decode,
            &[
                (
                    "m094f:010010a90000fdff0100a1196be866000062",
                    "temperature_c=25.62890625 battery_percent=98 uptime_s=6744171 switch=false impact=false",
                ),
                ("m094f:010010a90000fdff010000806be866000962", "!temperature_c switch=true impact=true"),
                ("m094f:010110a90000fdff0100a1196be866000062", "refused=no_key"),
                ("m094f:0100", "refused=malformed"),
            ],
        );
    }
}
