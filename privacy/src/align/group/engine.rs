//! Who does the arithmetic, and how it is spread over blocks and threads.

#[cfg(target_arch = "x86_64")]
use super::{field8, ifma8};

use super::{BadPoint, Exponent, POINT_BYTES, dalek};
use crate::digest::Digest;
use std::num::NonZeroUsize;
use std::{fmt, panic, thread};

/// Points that are given to the arithmetic at once. They share an inversion.
pub(super) const BLOCK: usize = 256;

/// One implementation of the group. All give the same bytes.
#[derive(Clone, Copy)]
pub struct Engine(Kind);

#[derive(Clone, Copy)]
enum Kind {
    #[cfg(target_arch = "x86_64")]
    Ifma8(field8::Ifma),
    Dalek,
}

impl Engine {
    /// The fastest on this machine.
    pub fn best() -> Self {
        Self::available()[0]
    }

    /// All that work on this machine, the fastest first.
    pub fn available() -> Vec<Self> {
        let engines = [
            #[cfg(target_arch = "x86_64")]
            field8::Ifma::try_new().map(|simd| Self(Kind::Ifma8(simd))),
            Some(Self(Kind::Dalek)),
        ];
        engines.into_iter().flatten().collect()
    }

    /// `ifma8` or `dalek`.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Ifma8(_) => "ifma8",
            Kind::Dalek => "dalek",
        }
    }

    /// [`hash_and_raise`](super::hash_and_raise) with this engine.
    pub fn hash_and_raise<T: AsRef<[u8]> + Sync>(
        self,
        domain: &Digest,
        items: &[T],
        exponent: &Exponent,
        threads: NonZeroUsize,
        out: &mut Vec<[u8; POINT_BYTES]>,
    ) {
        out.clear();
        out.resize(items.len(), [0; POINT_BYTES]);
        let part = part(items.len(), threads);
        if items.len() <= part {
            return self.hash_and_raise_part(domain, items, exponent, out);
        }
        thread::scope(|scope| {
            for (items, out) in items.chunks(part).zip(out.chunks_mut(part)) {
                scope.spawn(|| self.hash_and_raise_part(domain, items, exponent, out));
            }
        });
    }

    /// [`raise`](super::raise) with this engine.
    ///
    /// # Errors
    /// The first point that is not a canonical encoding, or is the identity.
    pub fn raise(
        self,
        points: &mut [[u8; POINT_BYTES]],
        exponent: &Exponent,
        threads: NonZeroUsize,
    ) -> Result<(), BadPoint> {
        let part = part(points.len(), threads);
        if points.len() <= part {
            return self.raise_part(points, exponent).map_err(|bad| bad.after(0));
        }
        thread::scope(|scope| {
            let start = |points| scope.spawn(move || self.raise_part(points, exponent));
            let running: Vec<_> = points.chunks_mut(part).map(start).collect();
            let results =
                running.into_iter().map(|thread| thread.join().unwrap_or_else(|why| panic::resume_unwind(why)));
            results.enumerate().try_for_each(|(i, result)| result.map_err(|bad| bad.after(i * part)))
        })
    }

    fn hash_and_raise_part<T: AsRef<[u8]>>(
        self,
        domain: &Digest,
        items: &[T],
        exponent: &Exponent,
        out: &mut [[u8; POINT_BYTES]],
    ) {
        let mut hashes = [[0; 64]; BLOCK];
        for (items, out) in items.chunks(BLOCK).zip(out.chunks_mut(BLOCK)) {
            for (item, hash) in items.iter().zip(&mut hashes) {
                *hash = uniform(domain, item.as_ref());
            }
            self.map_and_raise(&hashes[..items.len()], exponent, out);
        }
    }

    fn raise_part(self, points: &mut [[u8; POINT_BYTES]], exponent: &Exponent) -> Result<(), BadPoint> {
        for (i, block) in points.chunks_mut(BLOCK).enumerate() {
            let bad_encoding = |at| BadPoint::Encoding { index: i * BLOCK + at };
            if let Some(at) = block.iter().position(|point| *point == [0; POINT_BYTES]) {
                // One before it may be worse: the first is named.
                self.raise_block(&mut block[..at], exponent).map_err(bad_encoding)?;
                return Err(BadPoint::Identity { index: i * BLOCK + at });
            }
            self.raise_block(block, exponent).map_err(bad_encoding)?;
        }
        Ok(())
    }

    /// Maps at most [`BLOCK`] hashes to the group and raises them.
    pub(super) fn map_and_raise(self, hashes: &[[u8; 64]], exponent: &Exponent, out: &mut [[u8; POINT_BYTES]]) {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Ifma8(simd) => ifma8::map_and_raise(simd, hashes, &exponent.half, out),
            Kind::Dalek => dalek::map_and_raise(hashes, &exponent.half, out),
        }
    }

    /// Raises at most [`BLOCK`] points, or gives the position of the first that is not the encoding of a point.
    fn raise_block(self, points: &mut [[u8; POINT_BYTES]], exponent: &Exponent) -> Result<(), usize> {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Ifma8(simd) => ifma8::raise(simd, points, &exponent.half),
            Kind::Dalek => dalek::raise(points, &exponent.half),
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How many of `len` points a thread takes: whole blocks.
fn part(len: usize, threads: NonZeroUsize) -> usize {
    len.div_ceil(threads.get()).next_multiple_of(BLOCK).max(BLOCK)
}

/// The 64 uniform bytes that stand for an item under a domain.
fn uniform(domain: &Digest, item: &[u8]) -> [u8; 64] {
    let mut hash = [0; 64];
    blake3::Hasher::new_keyed(domain.as_bytes()).update(item).finalize_xof().fill(&mut hash);
    hash
}
