//! Reading numbers out of payloads of any length: a field that is not there is `None`, never a panic.

/// Fields at an offset. The name says width, sign and byte order.
pub trait Bytes {
    fn u8(&self, at: usize) -> Option<u8>;
    fn array<const N: usize>(&self, at: usize) -> Option<[u8; N]>;

    fn i8(&self, at: usize) -> Option<i8> {
        self.u8(at).map(|b| b as i8)
    }
    fn u16_le(&self, at: usize) -> Option<u16> {
        self.array(at).map(u16::from_le_bytes)
    }
    fn u16_be(&self, at: usize) -> Option<u16> {
        self.array(at).map(u16::from_be_bytes)
    }
    fn i16_le(&self, at: usize) -> Option<i16> {
        self.array(at).map(i16::from_le_bytes)
    }
    fn i16_be(&self, at: usize) -> Option<i16> {
        self.array(at).map(i16::from_be_bytes)
    }
    fn u24_be(&self, at: usize) -> Option<u32> {
        self.array(at).map(|[a, b, c]| u32::from_be_bytes([0, a, b, c]))
    }
    fn u24_le(&self, at: usize) -> Option<u32> {
        self.array(at).map(|[a, b, c]| u32::from_le_bytes([a, b, c, 0]))
    }
    fn u32_le(&self, at: usize) -> Option<u32> {
        self.array(at).map(u32::from_le_bytes)
    }
    fn u32_be(&self, at: usize) -> Option<u32> {
        self.array(at).map(u32::from_be_bytes)
    }
}

impl Bytes for [u8] {
    fn u8(&self, at: usize) -> Option<u8> {
        self.get(at).copied()
    }
    fn array<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.get(at..)?.first_chunk().copied()
    }
}

/// Fields one after the other, where what follows depends on what came before.
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    pub fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (field, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(field)
    }
}

/// Bit `n` of a flag byte, 0 the least significant.
pub const fn bit(byte: u8, n: u32) -> bool {
    byte >> n & 1 == 1
}

/// To `digits` decimals: a sum of decimal parts without the dust of binary ones.
pub fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

/// Degrees of two's complement 8.8 fixed point, most significant byte first (Eddystone TLM, KKM, RDL52832).
pub fn fixed_8_8(data: &[u8], at: usize) -> Option<f64> {
    data.i16_be(at).map(|raw| f64::from(raw) / 256.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_past_the_end_is_absent() {
        let data: &[u8] = &[1, 2, 3];
        assert_eq!(data.u16_be(1), Some(0x0203));
        assert_eq!(data.u24_le(0), Some(0x03_0201));
        assert_eq!(data.u16_be(2), None);
        assert_eq!(data.u8(3), None);
        assert_eq!(data.u32_le(usize::MAX), None);
    }
}
