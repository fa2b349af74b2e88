//! Files in which models leave the federation: read back as they were written, and refused when they are damaged.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../../examples/common/forward.rs"]
mod forward;
mod graph;
mod onnx;
mod pmml;
mod weights;
mod xml;

use haihe_models::binning::BinningOptions;
use haihe_models::files::ModelCard;
use haihe_models::grid::{grids, label_counts, profile};
use haihe_models::network::{Activation, Architecture, Channel, Encoder, EncodingKind, EncodingOptions};
use haihe_models::table::{Column, ColumnKind, ColumnSpec, Split, Table};

/// One of each kind, and the corners of each.
fn architectures() -> Vec<Architecture> {
    let lstm = |statics, head| Architecture::Lstm { steps: 4, channels: 3, statics, hidden: 5, head };
    vec![
        Architecture::Logistic { inputs: 1 },
        Architecture::Logistic { inputs: 12 },
        Architecture::Mlp { inputs: 6, hidden: vec![8, 3], activation: Activation::Relu },
        Architecture::Mlp { inputs: 2, hidden: vec![1; 12], activation: Activation::Tanh },
        Architecture::Autoencoder { inputs: 7, hidden: vec![5, 2], activation: Activation::Tanh },
        Architecture::Autoencoder { inputs: 3, hidden: vec![2], activation: Activation::Relu },
        lstm(4, vec![6]),
        lstm(0, vec![]),
    ]
}

/// A card with every field filled.
fn card(architecture: Architecture) -> ModelCard {
    let mut card = ModelCard::new("微贷 \"A\"", architecture, "2026-03-01T09:30:00+08:00");
    card.encoder = Some(encoder(&card.architecture, EncodingKind::Standardise));
    card.job = "job-7".to_owned();
    card.federation = "three banks".to_owned();
    card.parties = vec!["north".to_owned(), "south".to_owned()];
    (card.rounds, card.best_round, card.training_rows) = (20, 17, 123_456);
    card.figures = [("auroc", 0.812_345_678_9), ("ks", 0.4)].map(|(k, v)| (k.to_owned(), v)).into();
    card.thresholds = [("warn".to_owned(), -1.25)].into();
    card.privacy =
        Some(haihe_models::files::Privacy { statement: "per firm".to_owned(), epsilon: Some(2.5), delta: Some(1e-6) });
    card.transcript = "00ff".repeat(16);
    card
}

/// An encoder of as many numbers as the network takes, from firms made up.
fn encoder(architecture: &Architecture, kind: EncodingKind) -> Encoder {
    let inputs = architecture.inputs();
    let value = |column: usize, row: usize| ((row * 37 + column * 11) % 101) as f64 / 3.0;
    let name = |column: usize| format!("负债率 {column}");
    let rows = 200;
    let table = Table {
        specs: (0..inputs).map(|c| ColumnSpec { name: name(c), kind: ColumnKind::Numeric }).collect(),
        columns: (0..inputs).map(|c| Column::Numeric((0..rows).map(|row| value(c, row)).collect())).collect(),
        label: (0..rows).map(|row| (row * 37) % 101 > 60).collect(),
        split: vec![Split::Train; rows],
        firms: None,
    };
    let series = match architecture {
        Architecture::Lstm { steps, channels, .. } => (0..*channels)
            .map(|c| Channel {
                name: format!("channel {c}"),
                columns: (0..*steps).map(|step| name(step * channels + c)).collect(),
            })
            .collect(),
        _ => Vec::new(),
    };
    let options = EncodingOptions { kind, series, ..EncodingOptions::default() };
    let grids = grids(&table.specs, &profile(&table, Split::Train).unwrap(), 32).unwrap();
    let counts = label_counts(&table, &grids).unwrap();
    Encoder::learn(&table.specs, &grids, &counts, &options, &BinningOptions::default()).unwrap()
}
