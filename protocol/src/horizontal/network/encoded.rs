//! A party's rows as inputs of a network, kept between rounds.

use std::sync::{Arc, Mutex, PoisonError};

use haihe_models::{
    network::{Encoder, EncodingError, Examples},
    table::Table,
};

use super::{NetworkOptions, Unchanged, local::divided, train_rows};

/// Inputs that were made of one table, so that they are not made again in every round: whoever holds the table holds these with
/// it, and lets them go with it. Empty in the beginning, and after a restart.
#[derive(Debug, Default)]
pub struct EncodedRows(Mutex<Option<Made>>);

#[derive(Clone, Debug)]
struct Made {
    encoder: Unchanged<Encoder>,
    goods_only: bool,
    /// Seed and share that divide the rows, to the bit.
    division: (u64, u64),
    parts: Arc<Divided>,
}

/// The training rows, divided.
#[derive(Debug)]
pub(super) struct Divided {
    pub(super) train: Examples,
    pub(super) validation: Examples,
}

impl Divided {
    fn new(
        options: &NetworkOptions,
        encoder: &Encoder,
        goods_only: bool,
        table: &Table,
    ) -> Result<Self, EncodingError> {
        let (train, validation) = divided(options, &train_rows(table, goods_only));
        Ok(Self { train: encoder.encode(table, &train)?, validation: encoder.encode(table, &validation)? })
    }
}

impl EncodedRows {
    /// The inputs of `table`, which is the same in every call.
    pub(super) fn divided(
        &self,
        options: &NetworkOptions,
        encoder: &Unchanged<Encoder>,
        goods_only: bool,
        table: &Table,
    ) -> Result<Arc<Divided>, EncodingError> {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let division = (options.rounds.seed, options.rounds.validation.to_bits());
        let same = |m: &&Made| m.goods_only == goods_only && m.division == division && m.encoder == *encoder;
        if let Some(known) = made.as_ref().filter(same) {
            return Ok(known.parts.clone());
        }
        let parts = Arc::new(Divided::new(options, encoder, goods_only, table)?);
        *made = Some(Made { encoder: encoder.clone(), goods_only, division, parts: parts.clone() });
        Ok(parts)
    }
}
