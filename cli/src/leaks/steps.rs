//! What the sums of each step held, and what a reader of them could infer.

use haihe_models::{binning::Binning, metrics::ScoreHistogram};
use haihe_protocol::horizontal::{anomaly::AnomalyModel, scorecard::Evaluation};
use haihe_simulations::rounds::RoundFacts;

use super::{Learns, Learnt, Scene, SmallCells, StepLeak, and, learning, note};
use crate::report::data::Note;

/// The steps that occurred, in order.
pub(super) fn leaks(scene: &Scene<'_>, rounds: &[RoundFacts], result: Learnt<'_>) -> Vec<StepLeak> {
    let mut steps: Vec<&str> = Vec::new();
    for round in rounds {
        if !steps.contains(&round.summary.step.as_str()) {
            steps.push(&round.summary.step);
        }
    }
    steps.into_iter().map(|step| leak(scene, step, rounds, result)).collect()
}

fn leak(scene: &Scene<'_>, step: &str, rounds: &[RoundFacts], result: Learnt<'_>) -> StepLeak {
    let of: Vec<&RoundFacts> = rounds.iter().filter(|r| r.summary.step == step).collect();
    let (holds, infers) = match scene.learns {
        Learns::Scorecard => words(step, scene),
        Learns::Network(_) | Learns::Anomaly(_) => learning::words(step, scene),
    };
    let small_cells = match step {
        _ if scene.noise.is_some() => None,
        "label_counts" => fine_cells(scene, &of),
        "evaluation" => Some(small_cells(published(result), scene.floor)),
        _ => None,
    };
    let infers = match (step, &small_cells) {
        ("label_counts", None) => and(infers, &not_counted()),
        _ => infers,
    };
    StepLeak {
        step: step.to_owned(),
        sums: of.len() as u32,
        dimension: of.iter().map(|r| r.dimension).max().unwrap_or(0),
        fewest_contributors: of.iter().map(|r| r.contributors).min().unwrap_or(0),
        smallest_published: match step {
            "profile" => of.first().and_then(|r| smallest_total(r)),
            "label_counts" => smallest_count(result),
            "evaluation" => least(published(result)),
            "drivers" => smallest_warning(result),
            _ => None,
        },
        small_cells,
        infers: and(infers, &scene.exactness()),
        holds,
    }
}

fn least(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    values.into_iter().filter(|v| *v > 0.0).reduce(f64::min)
}

/// Of goods and bads in training, and test rows.
fn smallest_total(round: &RoundFacts) -> Option<f64> {
    let figure = |name: &str| round.summary.figures.get(name).copied().unwrap_or(0.0);
    least([figure("rows") - figure("bads"), figure("bads"), figure("test_rows")])
}

/// Rows of the smallest bin or cell whose counts the result shows.
fn smallest_count(result: Learnt<'_>) -> Option<f64> {
    let bins = |binnings: &[Binning]| least(binnings.iter().flat_map(|b| &b.bins).map(|b| b.good + b.bad));
    match result {
        Learnt::Scorecard(result) => bins(&result.binnings),
        Learnt::Anomaly(result) => match &result.model {
            AnomalyModel::Tails(tails) => least(tails.margins().columns.iter().flat_map(|m| m.counts.iter().copied())),
            AnomalyModel::Forest(_) | AnomalyModel::Autoencoder(_) => None,
        },
        Learnt::Network(_) => None,
    }
}

/// Test rows of the smallest warning level that has any.
fn smallest_warning(result: Learnt<'_>) -> Option<f64> {
    match result {
        Learnt::Anomaly(result) => least(result.warned.iter().flat_map(|w| [w.good, w.bad])),
        Learnt::Scorecard(_) | Learnt::Network(_) => None,
    }
}

/// Firms per cell of every histogram that the result carries.
fn published(result: Learnt<'_>) -> Vec<f64> {
    match result {
        Learnt::Scorecard(result) => cells(&histograms(&result.evaluation)),
        Learnt::Network(result) => {
            let e = &result.evaluation;
            let all = [&e.train, &e.test].into_iter().chain(&e.test_own);
            let own = e
                .per_party
                .iter()
                .flat_map(|p| [Some(&p.test.shared), p.test.alone.as_ref(), p.test.own.as_ref()].into_iter().flatten());
            cells(&all.chain(own).map(|p| &p.histogram).collect::<Vec<_>>())
        }
        Learnt::Anomaly(result) => {
            let test = [&result.test].into_iter().chain(result.per_party.iter().map(|p| &p.test));
            let mut all = cells(&test.map(|d| &d.histogram).collect::<Vec<_>>());
            all.extend(&result.train);
            all
        }
    }
}

/// Every histogram that a scorecard's result carries.
fn histograms(evaluation: &Evaluation) -> Vec<&ScoreHistogram> {
    let all = [&evaluation.train, &evaluation.test].into_iter().chain(&evaluation.test_recalibrated);
    all.chain(evaluation.per_party.iter().map(|p| &p.test)).map(|m| &m.histogram).collect()
}

fn cells(histograms: &[&ScoreHistogram]) -> Vec<f64> {
    histograms.iter().flat_map(|h| h.good.iter().zip(&h.bad).map(|(good, bad)| good + bad)).collect()
}

/// Goods and bads stand in turn; the tag's slots end the sum. `None` where a sum is not at hand.
fn fine_cells(scene: &Scene<'_>, rounds: &[&RoundFacts]) -> Option<SmallCells> {
    let sums: Option<Vec<&[u64]>> = rounds
        .iter()
        .map(|r| scene.sums?.get(&r.round).and_then(|s| s.get(..s.len().checked_sub(scene.tag_slots)?)))
        .collect();
    let pairs = sums?.into_iter().flat_map(|s| s.chunks_exact(2)).map(|pair| pair.iter().sum::<u64>() as f64);
    Some(small_cells(pairs, scene.floor))
}

fn small_cells(cells: impl IntoIterator<Item = f64>, below: f64) -> SmallCells {
    cells.into_iter().fold(SmallCells { below, cells: 0, single: 0 }, |small, rows| SmallCells {
        cells: small.cells + u64::from(rows > 0.0 && rows < below),
        single: small.single + u64::from(rows == 1.0),
        ..small
    })
}

fn not_counted() -> Note {
    note(
        "How many such small cells there were was not counted here: the journal has the digest of this sum, the participants have the sum.",
        "此类小格数量在此未统计：日志仅有该总和的摘要，总和在参与方处。",
    )
}

/// What the sums of a step hold, and what a reader can infer.
fn words(step: &str, scene: &Scene<'_>) -> (Note, Note) {
    match step {
        "profile" => (
            note(
                "Training rows, bad rows, test rows; per numeric column, counts on a coarse grid.",
                "训练行数、坏客户数、测试行数；每个数值列的粗网格计数。",
            ),
            note(
                "How large the parties are together, their common bad rate, and the rough range of each column. A coarse cell with one firm says that some firm has such an extreme value.",
                "各方合计规模、总体坏账率、各列大致范围。若某粗格仅一家企业，则说明存在一家取如此极端值的企业。",
            ),
        ),
        "label_counts" => (
            note(
                "Goods and bads per fine cell of each column, and per level.",
                "每列每个细格（及每个取值）的好、坏客户数。",
            ),
            note(
                format!(
                    "A fine cell that holds one bad firm and no good one says: a firm with that value defaulted. Who knows a firm's value and that it is a customer here, then knows its label. The minimum of {} rows holds for published bins, not for the cells under them.",
                    scene.floor
                ),
                format!(
                    "若某细格仅有一家坏客户，则说明取该值的企业违约；若有人知道某企业取该值且为本联邦客户，即可得知其标签。最小行数 {} 仅约束公布的分箱，不约束其下的细格。",
                    scene.floor
                ),
            ),
        ),
        "correlation" => (
            note(
                "Number of rows; sums and products of the columns' weights of evidence.",
                "行数；各列证据权重之和与乘积之和。",
            ),
            note(
                "How columns go together over all firms. Each column has few values, so that some joint counts of two columns may be solved for; joint counts have no minimum.",
                "各列在全体企业上的相关性。每列取值较少，故两列的部分联合计数可能可解；联合计数没有最小值约束。",
            ),
        ),
        "regression" => (
            note(
                "Rows, bads, log-likelihood, gradient and Hessian at one point, once per round.",
                "行数、事件数、对数似然、某点处的梯度与 Hessian，每轮一次。",
            ),
            note(
                "How well the present coefficients fit all firms together. Several rounds give several equations about the same joint counts of bins; single bins have the job's minimum of rows, combinations of bins do not.",
                "当前系数对全体企业的拟合程度。多轮给出关于同一分箱联合计数的多个方程；单个分箱满足最小行数，分箱组合则无此约束。",
            ),
        ),
        "evaluation" => (
            note(
                "Goods and bads per cell of the score, for training and test rows; squared errors.",
                "训练与测试行在得分各格的好、坏客户数；平方误差。",
            ),
            note(
                "Who can compute a firm's score (everybody with the scorecard and the firm's values) looks up its cell: a cell with one bad firm and no good one tells that firm's label, if it is known to be in the sample.",
                "能计算某企业得分者（持有评分卡与该企业取值）可查其所在格：若该格仅有一家坏客户，且已知该企业在样本中，则得知其标签。",
            ),
        ),
        other => (note(format!("The sums of the step {other}."), format!("步骤 {other} 的总和。")), note("", "")),
    }
}
