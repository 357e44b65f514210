//! CRC-32C (Castagnoli) over what a row says: a flipped bit on a worn card must not be told as truth.

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut n = 0;
    while n < 256 {
        let (mut crc, mut bit) = (n as u32, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[n] = crc;
        n += 1;
    }
    table
};

/// The sum over all parts, each with its length, so that moving a boundary shows.
pub fn sum(parts: &[&[u8]]) -> u32 {
    let feed = |crc: u32, bytes: &[u8]| {
        bytes.iter().fold(crc, |crc, b| (crc >> 8) ^ TABLE[((crc ^ u32::from(*b)) & 0xff) as usize])
    };
    !parts.iter().fold(!0, |crc, part| feed(feed(crc, &(part.len() as u32).to_le_bytes()), part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_castagnolis() {
        // RFC 3720, B.4: 32 bytes of zeroes. Our sum puts a length before them, so only the table is compared here.
        let crc = !([0u8; 32].iter().fold(!0u32, |crc, b| (crc >> 8) ^ TABLE[((crc ^ u32::from(*b)) & 0xff) as usize]));
        assert_eq!(crc, 0x8a91_36aa);
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
