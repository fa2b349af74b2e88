//! What a page shows of a credit network.

use haihe_models::network::{Activation, Architecture};
use haihe_protocol::horizontal::network::{PartyCredit, Population};

use super::{
    super::{
        charts::Svg,
        format::{DASH, count, fixed, percent, whole},
        words::{self, both},
    },
    data::{NetworkFacts, Note, TrainingFacts},
    figures,
};

/// One job.
pub(super) struct View {
    pub(super) learns: Note,
    pub(super) quality: Vec<(Note, String)>,
    pub(super) network: String,
    pub(super) loss: Svg,
    pub(super) auc: Option<Svg>,
    pub(super) distribution: Svg,
    pub(super) calibration: Option<Svg>,
    pub(super) own: Vec<OwnRow>,
    pub(super) own_version: Note,
    pub(super) own_head: bool,
    pub(super) fine_tuned: bool,
}

/// One party's customers.
pub(super) struct OwnRow {
    pub(super) party: String,
    pub(super) rows: String,
    pub(super) bad: String,
    /// Shared, alone, own: AUC, and whether it is the best of the three.
    pub(super) auc: [(String, bool); 3],
    pub(super) ks: [String; 3],
}

/// The shape of a network, in one line.
pub(super) fn describe(training: &TrainingFacts) -> String {
    let chain = |layers: &[usize]| layers.iter().map(|l| whole(*l as u64)).collect::<Vec<_>>().join(" → ");
    let word = |a: &Activation| format!("{a:?}").to_lowercase();
    let shape = match &training.architecture {
        Architecture::Logistic { inputs } => format!("logistic, {} inputs", whole(*inputs as u64)),
        Architecture::Mlp { inputs, hidden, activation } => {
            format!("{} {}", chain(&[&[*inputs], hidden.as_slice(), &[1]].concat()), word(activation))
        }
        Architecture::Autoencoder { inputs, hidden, activation } => {
            let mut layers = vec![*inputs];
            layers.extend(hidden);
            layers.extend(hidden.iter().rev().skip(1));
            layers.push(*inputs);
            format!("{} {}", chain(&layers), word(activation))
        }
        Architecture::Lstm { steps, channels, statics, hidden, head } => {
            let head = if head.is_empty() { String::new() } else { format!(" → {}", chain(head)) };
            format!("LSTM {hidden} over {steps} × {channels}, {statics} beside{head} → 1")
        }
    };
    format!("{shape}; {} parameters 参数", whole(training.parameters))
}

/// One job.
pub(super) fn view(id: &str, facts: &NetworkFacts) -> View {
    let e = &facts.evaluation;
    let ranking = e.test.ranking.as_ref();
    let figure = |x: Option<f64>| x.map_or_else(|| DASH.to_owned(), |x| fixed(x, 4));
    let auc = |p: &Population| {
        p.ranking
            .as_ref()
            .map_or_else(|| DASH.to_owned(), |r| format!("{} ± {}", fixed(r.auc, 4), fixed(r.auc_standard_error, 4)))
    };
    let mut quality = vec![
        (both("test AUC", "测试"), auc(&e.test)),
        (both("KS", "区分度"), figure(ranking.map(|r| r.ks))),
        (both("Gini", "基尼系数"), figure(ranking.map(|r| r.gini))),
        (both("Brier score", "布里尔得分"), figure(e.test.calibration.as_ref().map(|c| c.brier))),
        (both("training AUC", "训练"), auc(&e.train)),
    ];
    if let Some(psi) = e.stability {
        let word = words::stability(psi);
        quality.push((both("stability index", "稳定性指数"), format!("{} {} {}", fixed(psi, 4), word.en, word.zh)));
    }
    if let Some(own) = &e.test_own {
        quality.push((both("test AUC, own versions", "各方自有版本"), auc(own)));
    }
    View {
        learns: both(
            format!("{} training rows, {} bad", count(facts.rows), percent(facts.bads / facts.rows.max(1.0), 1)),
            "训练行与坏账率",
        ),
        quality,
        network: describe(&facts.training),
        loss: figures::loss(id, &facts.training),
        auc: figures::validation_auc(id, &facts.training),
        distribution: figures::distribution(id, e),
        calibration: figures::calibration(id, &e.test),
        own: e.per_party.iter().map(own).collect(),
        own_version: match (facts.own_head, facts.fine_tuned) {
            (true, true) => both("own last layer, trained on", "自有末层并微调"),
            (true, false) => both("own last layer", "自有末层"),
            (false, _) => both("trained on by the party", "本方微调"),
        },
        own_head: facts.own_head,
        fine_tuned: facts.fine_tuned,
    }
}

fn own(p: &PartyCredit) -> OwnRow {
    let all = [Some(&p.test.shared), p.test.alone.as_ref(), p.test.own.as_ref()];
    let ranking = all.map(|p| p.and_then(|p| p.ranking.as_ref()));
    let best = ranking.iter().flatten().map(|r| r.auc).fold(f64::NEG_INFINITY, f64::max);
    let sum = |counts: &[f64]| counts.iter().sum::<f64>();
    let histogram = &p.test.shared.histogram;
    let (good, bad) = (sum(&histogram.good), sum(&histogram.bad));
    OwnRow {
        party: p.party.to_string(),
        rows: count(good + bad),
        bad: percent(bad / (good + bad).max(1.0), 1),
        auc: ranking.map(|r| r.map_or_else(|| (DASH.to_owned(), false), |r| (fixed(r.auc, 4), r.auc >= best))),
        ks: ranking.map(|r| r.map_or_else(|| DASH.to_owned(), |r| fixed(r.ks, 4))),
    }
}
