//! The common firms at one party: its rows in the common order, and which of them train.

use haihe_models::{
    table::{Column, Split},
    vertical::{Features, VerticalError},
};

use haihe_privacy::digest::{Digest, Transcript};

use super::Firms;

/// Names keys, columns, labels and split of own firms, in their order.
pub(super) fn digest(firms: &Firms) -> Digest {
    let table = &firms.table;
    let mut t = Transcript::new("haihe/v1/vertical-rows").u64(firms.keys.len() as u64);
    t = firms.keys.iter().fold(t, |t, key| t.str(key));
    for column in &table.columns {
        let bytes: Vec<u8> = match column {
            Column::Numeric(values) => values.iter().flat_map(|x| x.to_bits().to_le_bytes()).collect(),
            Column::Categorical(levels) => levels.iter().flat_map(|l| l.to_le_bytes()).collect(),
        };
        t = t.bytes(&bytes);
    }
    let train: Vec<bool> = table.split.iter().map(|s| *s == Split::Train).collect();
    t.bytes(&pack(&table.label)).bytes(&pack(&train)).finish()
}

/// The columns of the common firms, in the common order.
pub(super) fn features(firms: &Firms, rows: &[u32]) -> Result<Features, VerticalError> {
    let columns = firms.table.columns.iter().map(|column| match column {
        Column::Numeric(values) => Column::Numeric(rows.iter().map(|r| values[*r as usize]).collect()),
        Column::Categorical(levels) => Column::Categorical(rows.iter().map(|r| levels[*r as usize]).collect()),
    });
    Features::new(firms.table.specs.clone(), columns.collect(), rows.len())
}

/// The outcome of each common firm; at the label holder.
pub(super) fn labels(firms: &Firms, rows: &[u32]) -> Vec<bool> {
    rows.iter().map(|r| firms.table.label[*r as usize]).collect()
}

/// Which common firms train; at the label holder.
pub(super) fn training(firms: &Firms, rows: &[u32]) -> Vec<bool> {
    rows.iter().map(|r| firms.table.split[*r as usize] == Split::Train).collect()
}

/// Positions of the rows for which `flags` holds.
pub(super) fn positions(flags: &[bool], wanted: bool) -> Vec<usize> {
    (0..flags.len()).filter(|i| flags[*i] == wanted).collect()
}

/// One bit per flag, the first in the lowest bit of the first byte.
pub(super) fn pack(flags: &[bool]) -> Vec<u8> {
    let byte = |chunk: &[bool]| chunk.iter().enumerate().fold(0, |byte, (i, flag)| byte | (u8::from(*flag) << i));
    flags.chunks(8).map(byte).collect()
}

/// `len` flags; `None` unless the bytes hold exactly so many, with zeros after the last.
pub(super) fn unpack(bytes: &[u8], len: usize) -> Option<Vec<bool>> {
    let flags: Vec<bool> = (0..8 * bytes.len()).map(|i| bytes[i / 8] >> (i % 8) & 1 == 1).collect();
    let fits = bytes.len() == len.div_ceil(8) && !flags[len.min(flags.len())..].contains(&true);
    fits.then(|| flags[..len].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_survive_packing() {
        for len in [0, 1, 7, 8, 9, 31] {
            let flags: Vec<bool> = (0..len).map(|i| i % 3 == 0).collect();
            assert_eq!(unpack(&pack(&flags), len), Some(flags.clone()));
            assert_eq!(unpack(&pack(&flags), len + 8), None);
        }
        assert_eq!(unpack(&[0b100], 2), None, "a bit beyond the last flag");
    }
}
