//! Files in which models leave the federation: read back as they were written, and refused when they are damaged.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../../examples/common/forward.rs"]
mod forward;
mod graph;
mod onnx;
mod pmml;
mod weights;
mod xml;

use haihe_models::files::ModelCard;
use haihe_models::network::{Activation, Architecture};

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
    card.encoder = Some(serde_json::json!({ "columns": [{ "name": "负债率", "mean": 0.1 }, 1.5, null] }));
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
