//! Secret permutations from a seed, and the search for elements that occur twice.

use super::group::POINT_BYTES;
use crate::prg::SecretStream;
use zeroize::Zeroizing;

/// A permutation of `0..n`, uniform if the stream is: element `k` of the shuffled list is element `self[k]` of the list.
/// Four bytes an element; wiped on drop.
pub(super) struct Permutation(Zeroizing<Vec<u32>>);

/// Numbers below a bound, uniform without bias, from a stream.
struct Draws {
    stream: SecretStream,
    buffer: Zeroizing<[u8; 4096]>,
    used: usize,
}

impl Permutation {
    /// Fisher and Yates' shuffle (Knuth, TAOCP 2, algorithm 3.4.2P).
    pub(super) fn draw(stream: SecretStream, size: u32) -> Self {
        let mut order: Vec<u32> = (0..size).collect();
        shuffle(&mut order, stream);
        Self(Zeroizing::new(order))
    }

    /// Where the elements of the shuffled list come from, in its order.
    pub(super) fn sources(&self) -> &[u32] {
        &self.0
    }
}

/// Shuffles a list: every order is equally likely.
pub(super) fn shuffle<T>(list: &mut [T], stream: SecretStream) {
    let mut draws = Draws { stream, buffer: Zeroizing::new([0; 4096]), used: 4096 };
    for last in (1..list.len()).rev() {
        list.swap(last, draws.below(last as u64 + 1) as usize);
    }
}

impl Draws {
    /// Lemire, Fast random integer generation in an interval (2019), algorithm 5.
    fn below(&mut self, bound: u64) -> u64 {
        loop {
            let product = u128::from(self.next()) * u128::from(bound);
            let low = product as u64;
            // 2^64 mod bound values of `low` would make some results more likely than others.
            if low >= bound || low >= bound.wrapping_neg() % bound {
                return (product >> 64) as u64;
            }
        }
    }

    fn next(&mut self) -> u64 {
        if self.used == self.buffer.len() {
            self.stream.fill(self.buffer.as_mut());
            self.used = 0;
        }
        let (numbers, _) = self.buffer.as_chunks::<8>();
        let number = u64::from_le_bytes(numbers[self.used / 8]);
        self.used += 8;
        number
    }
}

/// Two positions with the same point. Eight bytes a point are allocated; points that others chose to look alike cost time
/// `n log n` and no more.
pub(super) fn repeated(points: &[[u8; POINT_BYTES]]) -> Option<(u32, u32)> {
    let part = |point: &[u8; POINT_BYTES]| -> u64 {
        let (parts, _) = point.as_chunks::<8>();
        u64::from_le_bytes(parts[1])
    };
    let mut parts: Vec<u64> = points.iter().map(part).collect();
    parts.sort_unstable();
    let mut alike: Vec<u64> = parts.windows(2).filter(|two| two[0] == two[1]).map(|two| two[0]).collect();
    if alike.is_empty() {
        return None;
    }
    alike.dedup();
    drop(parts);
    let mut suspects: Vec<u32> =
        (0..points.len() as u32).filter(|i| alike.binary_search(&part(&points[*i as usize])).is_ok()).collect();
    suspects.sort_unstable_by_key(|i| (points[*i as usize], *i));
    suspects.windows(2).find(|two| points[two[0] as usize] == points[two[1] as usize]).map(|two| (two[0], two[1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_is_equally_likely() {
        let mut counts = std::collections::HashMap::new();
        for index in 0..24_000 {
            let mut list = [0, 1, 2, 3];
            shuffle(&mut list, SecretStream::new(&[3; 32], index));
            *counts.entry(list).or_insert(0u32) += 1;
        }
        // A thousand of each is expected; the standard deviation is 31.
        assert_eq!(counts.len(), 24);
        assert!(counts.values().all(|count| (840..1160).contains(count)), "{counts:?}");
    }

    #[test]
    fn numbers_are_below_their_bound_even_where_many_are_thrown_away() {
        let mut draws = Draws { stream: SecretStream::new(&[1; 32], 0), buffer: Zeroizing::new([0; 4096]), used: 4096 };
        let bound = (1 << 63) + 1;
        let high = (0..4000).filter(|_| draws.below(bound) >= bound / 2).count();
        assert!((1850..2150).contains(&high), "{high}");
    }

    #[test]
    fn elements_that_occur_twice_are_found() {
        let mut points: Vec<[u8; 32]> = (0..500u32)
            .map(|i| {
                let mut point = [0; 32];
                point[..4].copy_from_slice(&i.to_le_bytes()); // All alike in the part that is looked at first.
                point
            })
            .collect();
        assert_eq!(repeated(&points), None);
        points[400] = points[17];
        assert_eq!(repeated(&points), Some((17, 400)));
        assert_eq!(repeated(&[]), None);
    }
}
