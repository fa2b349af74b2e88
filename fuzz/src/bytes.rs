//! Reading choices out of an input: total, zeros after its end.

/// An input that is being read.
#[derive(Clone, Copy, Debug)]
pub struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    /// From the beginning.
    pub fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    /// True at the end.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte, or 0.
    pub fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().map_or((0, self.0), |(f, r)| (*f, r));
        self.0 = rest;
        first
    }

    /// A number below `bound`, which is 1 to 256.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound.max(1)
    }

    /// The next eight bytes as a number, little-endian.
    pub fn number(&mut self) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// A number of one of several magnitudes: small ones, powers of two and their neighbours, anything.
    pub fn magnitude(&mut self) -> u64 {
        match self.byte() {
            kind @ 0..64 => u64::from(kind) & 7,
            kind @ 64..192 => (1u64 << (kind & 63)).wrapping_add(u64::from(self.byte() & 3)).wrapping_sub(1),
            192..208 => u64::MAX - u64::from(self.byte()),
            _ => self.number(),
        }
    }

    /// The next `length` bytes, fewer at the end.
    pub fn take(&mut self, length: usize) -> &'a [u8] {
        let (first, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        first
    }

    /// What is left.
    pub fn rest(self) -> &'a [u8] {
        self.0
    }
}
