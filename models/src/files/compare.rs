//! How far two networks are from each other.

use serde::Serialize;

use super::ModelCard;

/// Two networks side by side. Ratios whose denominator is zero are absent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Whether they have the same architecture, so that their parameters can be compared.
    pub same_architecture: bool,
    /// Whether they take their inputs in the same encoding: without it, the same parameters mean something else.
    pub same_encoder: bool,
    /// Per tensor; empty unless the architectures are the same.
    pub tensors: Vec<Difference>,
    /// Of all parameters; `None` unless the architectures are the same.
    pub all: Option<Difference>,
    /// Figures of evaluation that either card has, in the order of their names.
    pub figures: Vec<FigurePair>,
}

/// Difference of two vectors of the same length.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The tensor.
    pub name: String,
    /// Largest absolute difference.
    pub max_abs: f64,
    /// `|b - a| / |a|`, Euclidean norms.
    pub relative_l2: Option<f64>,
    /// `a.b / (|a| |b|)`: 1 for the same direction.
    pub cosine: Option<f64>,
}

/// A figure of two cards.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FigurePair {
    /// Its name.
    pub name: String,
    /// On the first card.
    pub a: Option<f64>,
    /// On the second card.
    pub b: Option<f64>,
}

/// Compares two networks with their cards, as [`super::weights::read`] gives them.
pub fn compare(a: &(ModelCard, Vec<f32>), b: &(ModelCard, Vec<f32>)) -> Comparison {
    let ((card_a, of_a), (card_b, of_b)) = (a, b);
    let same_architecture = card_a.architecture == card_b.architecture;
    let (mut tensors, mut all) = (Vec::new(), None);
    if same_architecture && of_a.len() == of_b.len() {
        for tensor in card_a.architecture.tensors() {
            let [in_a, in_b] = [of_a, of_b].map(|of| of.get(tensor.range()).unwrap_or_default());
            tensors.push(difference(tensor.name, in_a, in_b));
        }
        all = Some(difference("all".to_owned(), of_a, of_b));
    }
    let mut names: Vec<&String> = card_a.figures.keys().chain(card_b.figures.keys()).collect();
    names.sort();
    names.dedup();
    let figure = |name: &String| FigurePair {
        name: name.clone(),
        a: card_a.figures.get(name).copied(),
        b: card_b.figures.get(name).copied(),
    };
    Comparison {
        same_architecture,
        same_encoder: card_a.encoder == card_b.encoder,
        tensors,
        all,
        figures: names.into_iter().map(figure).collect(),
    }
}

fn difference(name: String, a: &[f32], b: &[f32]) -> Difference {
    let pairs = || a.iter().zip(b).map(|(&a, &b)| (f64::from(a), f64::from(b)));
    let norm = |squares: f64| libm::sqrt(squares);
    let (of_a, of_b) = (norm(pairs().map(|(a, _)| a * a).sum()), norm(pairs().map(|(_, b)| b * b).sum()));
    let between = norm(pairs().map(|(a, b)| (b - a) * (b - a)).sum());
    let product: f64 = pairs().map(|(a, b)| a * b).sum();
    let ratio = |of: f64, by: f64| (by > 0.0).then(|| of / by);
    Difference {
        name,
        max_abs: pairs().fold(0.0, |most, (a, b)| most.max((b - a).abs())),
        relative_l2: ratio(between, of_a),
        cosine: ratio(product, of_a * of_b),
    }
}
