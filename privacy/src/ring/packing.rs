//! Residues of 50 bits, packed without gaps.
//!
//! A block of 2048 residues is 64 columns of 32: residue `64 i + lane` is the `i`-th of its column. A column is a
//! little-endian bit string of 32 x 50 bits, that is 25 words of 64 bits, and word `w` of column `lane` is the little-endian
//! word `64 w + lane` of the block's 12800 bytes. So one and the same shift serves 64 neighbouring words, and packing,
//! unpacking and adding are vector loops on every machine.

use super::RESIDUE_BITS;

/// Residues in a block. Every ring degree is a multiple.
pub(crate) const BLOCK: usize = 2048;
/// Bytes of a packed block.
pub(crate) const BLOCK_BYTES: usize = BLOCK * RESIDUE_BITS as usize / 8;

const LANES: usize = 64;
const MASK: u64 = (1 << RESIDUE_BITS) - 1;
const BITS: usize = RESIDUE_BITS as usize;

/// Packs a block of residues below 2^50.
#[inline(always)]
pub(crate) fn pack(residues: &[u64; BLOCK], bytes: &mut [u8; BLOCK_BYTES]) {
    let (rows, _) = residues.as_chunks::<LANES>();
    let (words, _) = bytes.as_chunks_mut::<8>();
    let (words, _) = words.as_chunks_mut::<LANES>();
    for (w, words) in words.iter_mut().enumerate() {
        // Word w takes bits 64 w .. 64 w + 64 of its column: the rest of one residue, and the beginnings of one or two.
        let first = 64 * w / BITS;
        let (low, middle, high) = (&rows[first], &rows[first + 1], &rows[(first + 2).min(31)]);
        let skip = (64 * w % BITS) as u32;
        let (at_middle, at_high) = (RESIDUE_BITS - skip, 2 * RESIDUE_BITS - skip);
        if at_high < 64 {
            for (((word, low), middle), high) in words.iter_mut().zip(low).zip(middle).zip(high) {
                *word = (low >> skip | middle << at_middle | high << at_high).to_le_bytes();
            }
        } else {
            for ((word, low), middle) in words.iter_mut().zip(low).zip(middle) {
                *word = (low >> skip | middle << at_middle).to_le_bytes();
            }
        }
    }
}

/// Unpacks a block: calls `each(slot, residue)` for every residue and its place in `slots`.
#[inline(always)]
pub(crate) fn unpack<T>(bytes: &[u8; BLOCK_BYTES], slots: &mut [T; BLOCK], mut each: impl FnMut(&mut T, u64)) {
    let (words, _) = bytes.as_chunks::<8>();
    let (words, _) = words.as_chunks::<LANES>();
    let (rows, _) = slots.as_chunks_mut::<LANES>();
    for (i, row) in rows.iter_mut().enumerate() {
        let (w, shift) = (BITS * i / 64, (BITS * i % 64) as u32);
        if shift + RESIDUE_BITS <= 64 {
            for (slot, low) in row.iter_mut().zip(&words[w]) {
                each(slot, (u64::from_le_bytes(*low) >> shift) & MASK);
            }
        } else {
            for ((slot, low), high) in row.iter_mut().zip(&words[w]).zip(&words[w + 1]) {
                let (low, high) = (u64::from_le_bytes(*low), u64::from_le_bytes(*high));
                each(slot, (low >> shift | high << (64 - shift)) & MASK);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_is_the_documented_bit_string() {
        let residues: [u64; BLOCK] = std::array::from_fn(|i| (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) & MASK);
        let mut bytes = [0xaa; BLOCK_BYTES];
        pack(&residues, &mut bytes);
        let bit = |lane: usize, position: usize| {
            let word = LANES * (position / 64) + lane;
            bytes[8 * word + position % 64 / 8] >> (position % 8) & 1
        };
        for (index, &residue) in residues.iter().enumerate() {
            let (i, lane) = (index / LANES, index % LANES);
            let read = (0..BITS).fold(0, |value, b| value | u64::from(bit(lane, BITS * i + b)) << b);
            assert_eq!(read, residue);
        }
        let mut again = [0; BLOCK];
        unpack(&bytes, &mut again, |slot, residue| *slot = residue);
        assert_eq!(again, residues);
    }
}
