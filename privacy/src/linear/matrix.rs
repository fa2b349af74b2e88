//! B's columns, as plaintext polynomials.

use super::parameters::{DEGREE, ELEMENT, LinearError, LinearParameters, check_columns};
use super::switch::constants;
use crate::ring::{PRIMES, vectorised};
use std::fmt;

/// A matrix, ready to be multiplied by encrypted vectors. It keeps the transforms of as many response polynomials as fit
/// the memory it was given, and the integers of the others.
pub struct EncodedMatrix {
    parameters: LinearParameters,
    columns: usize,
    /// For each response polynomial the transforms of all its blocks; fewer than there are response polynomials.
    transforms: Vec<Vec<u64>>,
    /// The columns of the others.
    rest: Vec<Vec<i32>>,
}

impl EncodedMatrix {
    /// Encodes columns of `rows` integers each. `memory` bounds the bytes of the transforms, of which a response polynomial
    /// takes 196,608 for each block.
    ///
    /// # Errors
    /// [`LinearError::Columns`], [`LinearError::Length`] and [`LinearError::Entry`].
    pub fn new(parameters: &LinearParameters, columns: &[Vec<i32>], memory: usize) -> Result<Self, LinearError> {
        check_columns(columns.len())?;
        let (tiling, largest) = (parameters.tiling(), parameters.largest_entry());
        for (column, entries) in columns.iter().enumerate() {
            if entries.len() != tiling.rows() {
                return Err(LinearError::Length { expected: tiling.rows(), found: entries.len() });
            }
            if let Some(row) = entries.iter().position(|entry| entry.unsigned_abs() > largest) {
                return Err(LinearError::Entry { column, row, largest });
            }
        }
        let of_polynomial = size_of::<u64>() * ELEMENT * tiling.blocks();
        let groups: Vec<_> = columns.chunks(tiling.columns_per_polynomial()).collect();
        let cached = groups.len().min(memory / of_polynomial);
        let transform = |group: &&[Vec<i32>]| {
            let mut transforms = vec![0; tiling.blocks() * ELEMENT];
            let elements = transforms.chunks_exact_mut(ELEMENT).enumerate();
            elements.for_each(|(block, element)| encode(parameters, group, block, element));
            transforms
        };
        Ok(Self {
            parameters: *parameters,
            columns: columns.len(),
            transforms: groups[..cached].iter().map(transform).collect(),
            rest: groups[cached..].concat(),
        })
    }

    /// What it was encoded for.
    pub fn parameters(&self) -> &LinearParameters {
        &self.parameters
    }

    /// How many columns there are.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// How many of the response polynomials have their transforms in memory.
    pub fn cached_polynomials(&self) -> usize {
        self.transforms.len()
    }

    /// The transforms of all blocks of a response polynomial, if they are in memory.
    pub(super) fn cached(&self, polynomial: usize) -> Option<&[u64]> {
        self.transforms.get(polynomial).map(Vec::as_slice)
    }

    /// The transform of one block of a response polynomial whose transforms are not in memory.
    pub(super) fn block<'a>(&self, polynomial: usize, block: usize, scratch: &'a mut Vec<u64>) -> &'a [u64] {
        let width = self.parameters.tiling().columns_per_polynomial();
        let first = (polynomial - self.transforms.len()) * width;
        let columns = &self.rest[first..(first + width).min(self.rest.len())];
        scratch.resize(ELEMENT, 0);
        encode(&self.parameters, columns, block, scratch);
        scratch
    }
}

/// The transform of `sum over columns g and rows i of x_{g,i} X^(g block + block - 1 - i)`: in its product with `sum d_i X^i`
/// coefficient `g block + block - 1` is the inner product of column `g`, and no other term reaches it.
fn encode(parameters: &LinearParameters, columns: &[Vec<i32>], block: usize, element: &mut [u64]) {
    let tiling = parameters.tiling();
    for (l, residues) in element.chunks_exact_mut(DEGREE).enumerate() {
        let p = PRIMES[l].cast_signed();
        let mut places = residues.chunks_exact_mut(tiling.block());
        for (entries, place) in columns.iter().zip(&mut places) {
            let entries = &entries[tiling.block_rows(block)];
            vectorised(
                #[inline(always)]
                || {
                    let (padding, place) = place.split_at_mut(place.len() - entries.len());
                    padding.fill(0);
                    for (residue, &entry) in place.iter_mut().rev().zip(entries) {
                        let entry = i64::from(entry);
                        *residue = (entry + (entry >> 63 & p)).cast_unsigned();
                    }
                },
            );
        }
        places.for_each(|place| place.fill(0));
        constants().ring.forward(l, residues);
    }
}

impl fmt::Debug for EncodedMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncodedMatrix({} rows, {} columns)", self.parameters.tiling().rows(), self.columns)
    }
}
