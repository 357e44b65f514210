//! CRC-32C (Castagnoli) over what a row says: a flipped bit on a worn card must not be told as truth.

use crc32c::crc32c_append;

/// The sum over all parts, each with its length, so that moving a boundary shows.
pub fn sum(parts: &[&[u8]]) -> u32 {
    let with_length = |crc, part: &&[u8]| crc32c_append(crc32c_append(crc, &(part.len() as u32).to_le_bytes()), part);
    parts.iter().fold(0, with_length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_castagnolis() {
        // RFC 3720, B.4: 32 bytes of zeroes; ours puts the length before them.
        assert_eq!(crc32c_append(0, &[0; 32]), 0x8a91_36aa);
        let framed = [&32u32.to_le_bytes()[..], &[0; 32]].concat();
        assert_eq!(sum(&[&[0; 32]]), crc32c_append(0, &framed));
    }

    #[test]
    fn any_single_bit_and_any_moved_boundary_shows() {
        let parts: [&[u8]; 2] = [b"lock", b".unlocked"];
        let right = sum(&parts);
        for bit in 0..8 * parts[1].len() {
            let mut flipped = parts[1].to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(sum(&[parts[0], &flipped]), right);
        }
        assert_ne!(sum(&[b"lock.", b"unlocked"]), right);
    }
}
