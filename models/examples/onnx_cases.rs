//! Writes networks as ONNX files, each with rows and what the network makes of them by a plain computation, for
//! `models/reference/check_onnx.py`: `cargo run -p haihe-models --example onnx_cases -- FOLDER`.

#[path = "common/forward.rs"]
mod forward;

use std::{fs, path::Path};

use haihe_models::files::{ModelCard, onnx, weights};
use haihe_models::network::{Activation, Architecture, Examples, Objective};
use serde_json::{Value, json};

const ROWS: usize = 200;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("name the folder to write to")?;
    let folder = Path::new(&folder);
    fs::create_dir_all(folder)?;
    let lstm = |statics, head| Architecture::Lstm { steps: 12, channels: 5, statics, hidden: 16, head };
    let cases = [
        ("logistic", Architecture::Logistic { inputs: 30 }),
        ("mlp_relu", Architecture::Mlp { inputs: 40, hidden: vec![64, 32], activation: Activation::Relu }),
        ("mlp_tanh", Architecture::Mlp { inputs: 8, hidden: vec![16], activation: Activation::Tanh }),
        ("autoencoder", Architecture::Autoencoder { inputs: 24, hidden: vec![16, 6], activation: Activation::Tanh }),
        ("autoencoder_shallow", Architecture::Autoencoder { inputs: 7, hidden: vec![3], activation: Activation::Relu }),
        ("lstm", lstm(9, vec![24])),
        ("lstm_series_only", lstm(0, vec![])),
    ];
    for (seed, (name, architecture)) in (1..).zip(cases) {
        let (parameters, examples) = forward::case(&architecture, ROWS, seed);
        let card = ModelCard::new(name, architecture, "2026-01-01T00:00:00Z");
        fs::write(folder.join(format!("{name}.onnx")), onnx::write(&card, &parameters)?)?;
        fs::write(folder.join(format!("{name}.safetensors")), weights::write(&card, &parameters)?)?;
        let case = expected(&card.architecture, &parameters, &examples);
        fs::write(folder.join(format!("{name}.json")), serde_json::to_vec(&case)?)?;
    }
    Ok(())
}

/// Inputs and outputs by name, rows by rows.
fn expected(architecture: &Architecture, parameters: &[f32], examples: &Examples) -> Value {
    let rows: Vec<&[f32]> = (0..examples.rows()).map(|row| examples.row(row)).collect();
    let length = |row: usize| examples.lengths.get(row).map_or(0, |&length| length as usize);
    let results: Vec<Vec<f64>> =
        rows.iter().enumerate().map(|(i, row)| forward::forward(architecture, parameters, row, length(i))).collect();
    let mut inputs = json!({ "inputs": rows });
    if !examples.lengths.is_empty() {
        inputs["lengths"] = json!(examples.lengths);
    }
    let outputs = match architecture.objective() {
        Objective::Credit => {
            let log_odds: Vec<f64> = results.iter().map(|result| result[0]).collect();
            let bad: Vec<f64> = log_odds.iter().map(|l| 1.0 / (1.0 + (-l).exp())).collect();
            json!({ "log_odds": log_odds, "probability_of_bad": bad })
        }
        Objective::Reconstruction => {
            let errors: Vec<f64> = rows.iter().zip(&results).map(|(row, r)| forward::squared_error(row, r)).collect();
            json!({ "reconstruction": results, "anomaly_score": errors })
        }
    };
    json!({ "inputs": inputs, "outputs": outputs })
}
