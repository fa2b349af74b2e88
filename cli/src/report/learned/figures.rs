//! The charts of networks and anomaly models.

use haihe_models::metrics::ScoreHistogram;
use haihe_protocol::horizontal::network::{CreditEvaluation, Population, RoundFigures};
use haihe_simulations::detection::Found;

use super::{
    super::{
        charts::{Anchor, Canvas, Frame, Plot, Scale, Svg},
        facts::wilson,
        format::{count, fixed, percent, value},
    },
    data::{AnomalyFacts, SetReport, TrainingFacts},
};

const CHART: Frame = Frame { height: 300.0, ..Frame::HALF };
/// With a line for marks between the key and the chart.
const MARKED: Frame = Frame { top: 44.0, right: 34.0, ..CHART };

/// A model of a comparison: its name, the class of its mark, and what it finds.
type Mark = (String, &'static str, Found);

fn marks(facts: &AnomalyFacts) -> Vec<Mark> {
    let Some(c) = &facts.comparison else { return Vec::new() };
    let alone = c.alone.iter().filter_map(|a| Some((format!("{} alone 单独", a.party), "dot second", a.found?)));
    let mut all: Vec<Mark> = alone.collect();
    all.push(("pooled 集中".to_owned(), "ring pooled", c.pooled));
    all.push(("federated 联邦".to_owned(), "dot main", c.federated));
    all
}

/// Area under the curve of every model of a set, with one standard error of the federated one to each side.
pub(super) fn comparison(set: &SetReport, names: &[String]) -> Svg {
    let jobs: Vec<(Vec<Mark>, &String)> =
        set.jobs.iter().filter_map(|j| Some(marks(j.anomaly()?))).zip(names).filter(|(m, _)| !m.is_empty()).collect();
    let rows = jobs.len() as f64;
    let ends = jobs.iter().flat_map(|(marks, _)| marks).flat_map(|(_, class, f)| {
        let error = if *class == "dot main" { f.auroc_standard_error } else { 0.0 };
        [f.auroc - error, f.auroc + error]
    });
    let (x, y) = (Scale::around(ends, 0.06), Scale::Linear(0.0, rows));
    let frame = Frame { height: rows * 62.0 + 76.0, left: 190.0, top: 30.0, ..Frame::FULL };
    let description = "Area under the ROC curve of each model on the test rows of all parties; the line is one standard error of \
                       the federated one to each side.";
    let id = format!("compared-{}", set.key);
    let mut plot = Plot::new(&id, "AUROC by model AUROC 对比", description, frame, x, y)
        .x_axis("AUROC (higher is better 越高越好)", &x.ticks(8));
    for (row, (marks, name)) in jobs.iter().enumerate() {
        let at = rows - row as f64 - 0.5;
        if let Scale::Linear(left, right) = x {
            plot = plot.segment("grid", (left, at), (right, at));
            plot = plot.text("tick dark", (left, at), (-10.0, 4.0), Anchor::End, name);
        }
        for (who, class, f) in marks {
            let tip = format!("{who}: AUROC {}, AUPRC {}", fixed(f.auroc, 4), fixed(f.auprc, 4));
            if *class == "dot main" {
                let (lo, hi) = (f.auroc - f.auroc_standard_error, f.auroc + f.auroc_standard_error);
                plot = plot.segment("dumbbell", (lo, at), (hi, at));
                plot = plot.text("name", (f.auroc, at), (0.0, -11.0), Anchor::Middle, &fixed(f.auroc, 3));
            }
            let radius = match *class {
                "ring pooled" => 8.0,
                "dot main" => 5.5,
                _ => 4.5,
            };
            plot = plot.dot(class, (f.auroc, at), radius, &tip);
        }
        // The single owners by name, under their dots; names that would touch share a line below.
        let mut below: Vec<&Mark> = marks.iter().filter(|m| m.1 == "dot second").collect();
        below.sort_by(|a, b| a.2.auroc.total_cmp(&b.2.auroc));
        let width = match x {
            Scale::Linear(left, right) => right - left,
            Scale::Log(..) => 1.0,
        };
        let (mut last, mut level) = (f64::NEG_INFINITY, 0);
        for (who, _, f) in below {
            level = if f.auroc - last < 0.035 * width { (level + 1) % 2 } else { 0 };
            last = f.auroc;
            let short = who.split(' ').next().unwrap_or_default();
            plot = plot.text("tick", (f.auroc, at), (0.0, 17.0 + 11.0 * f64::from(level)), Anchor::Middle, short);
        }
    }
    plot.key(&[("swatch main", "federated 联邦"), ("swatch pooled", "pooled 集中"), ("swatch second", "alone 单独")])
        .finish()
}

fn rounds(history: &[RoundFigures]) -> (Scale, Vec<(f64, String)>) {
    let last = history.last().map_or(1.0, |r| f64::from(r.number)).max(1.0);
    let x = Scale::Linear(0.0, last);
    (x, x.ticks(8).into_iter().filter(|t| t.0 == t.0.trunc()).collect())
}

/// Mean loss by round, of the local steps and on the rows kept for validation; over even factors where it falls far.
pub(super) fn loss(id: &str, training: &TrainingFacts) -> Svg {
    let of = |get: &dyn Fn(&RoundFigures) -> Option<f64>| -> Vec<(f64, f64)> {
        let points = training.history.iter().filter_map(|r| Some((f64::from(r.number), get(r)?)));
        points.filter(|p| p.1.is_finite()).collect()
    };
    let (train, validation) = (of(&|r| r.train_loss), of(&|r| Some(r.validation_loss)));
    let all = || train.iter().chain(&validation).map(|p| p.1);
    let (least, most) = (all().fold(f64::INFINITY, f64::min), all().fold(0.0f64, f64::max));
    let far = least > 0.0 && most > 6.0 * least;
    let on_axis = |v: f64| if far { v.log10() } else { v };
    let (x, ticks) = rounds(&training.history);
    let y = Scale::around(all().map(on_axis), 0.08);
    let y_ticks = if far { factor_ticks(least / 1.2, most * 1.2) } else { y.ticks(5) };
    let best = f64::from(training.best_round);
    let along = |points: &[(f64, f64)]| points.iter().map(|p| (p.0, on_axis(p.1))).collect::<Vec<_>>();
    let description = "Mean loss of the local steps and of the validation rows in each round.";
    let mut plot = Plot::new(&format!("loss-{id}"), "Loss by round 每轮损失", description, MARKED, x, y)
        .y_axis("mean loss 平均损失", &y_ticks)
        .x_axis("round 轮次", &ticks)
        .vertical("threshold", best, &format!("best 最佳 {best}"))
        .line("line thin second", &along(&train))
        .line("line main", &along(&validation));
    for p in &validation {
        plot = plot.dot("dot main", (p.0, on_axis(p.1)), 2.6, &format!("round {}: {}", p.0, fixed(p.1, 5)));
    }
    plot.key(&[("swatch second", "training 训练"), ("swatch main", "validation 验证")]).finish()
}

/// AUC on the rows kept for validation, by round.
pub(super) fn validation_auc(id: &str, training: &TrainingFacts) -> Option<Svg> {
    let points = training.history.iter().filter_map(|r| Some((f64::from(r.number), r.validation_auc?)));
    let points: Vec<(f64, f64)> = points.collect();
    if points.is_empty() {
        return None;
    }
    let (x, ticks) = rounds(&training.history);
    let y = Scale::around(points.iter().map(|p| p.1), 0.1);
    let mut plot = Plot::new(
        &format!("auc-{id}"),
        "AUC by round 每轮 AUC",
        "AUC of the network of each round on the validation rows.",
        MARKED,
        x,
        y,
    )
    .y_axis("validation AUC 验证 AUC", &y.ticks(5))
    .x_axis("round 轮次", &ticks)
    .vertical("threshold", f64::from(training.best_round), &format!("best 最佳 {}", training.best_round))
    .line("line main", &points);
    for p in &points {
        plot = plot.dot("dot main", *p, 2.6, &format!("round {}: {}", p.0, fixed(p.1, 4)));
    }
    Some(plot.finish())
}

/// Round values for an axis of powers: 1, 2 and 5 times powers of ten between two of them.
fn factor_ticks(from: f64, to: f64) -> Vec<(f64, String)> {
    let (lo, hi) = (from.log10(), to.log10());
    // The casts saturate.
    let decades = lo.floor() as i32..=hi.ceil() as i32;
    let steps: &[f64] = if hi - lo > 2.5 {
        &[1.0]
    } else if hi - lo > 0.6 {
        &[1.0, 2.0, 5.0]
    } else {
        &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    };
    let all = decades.flat_map(|d| steps.iter().map(move |s| s * 10f64.powi(d)));
    all.filter(|v| (lo..=hi).contains(&v.log10())).map(|v| (v.log10(), value(v))).collect()
}

/// Where good and bad test rows lie along an anomaly score, with the beginnings of the warning levels.
pub(super) fn scores(id: &str, facts: &AnomalyFacts) -> Svg {
    let bars = &facts.bars;
    let (Some(first), Some(last)) = (bars.ends.first(), bars.ends.last()) else { return Svg::default() };
    let steps = |counts: &[f64]| -> Vec<(f64, f64)> {
        let total = counts.iter().sum::<f64>().max(1.0);
        let ends = bars.ends.windows(2).zip(counts);
        ends.flat_map(|(e, count)| [(e[0].log10(), count / total), (e[1].log10(), count / total)]).collect()
    };
    let (good, bad) = (steps(&bars.good), steps(&bars.bad));
    let highest = good.iter().chain(&bad).fold(0.0f64, |m, p| m.max(p.1));
    let (x, y) = (Scale::Linear(first.log10(), last.log10()), Scale::Linear(0.0, highest * 1.08 + 1e-9));
    let description =
        "Shares of good and of bad test rows by anomaly score; lines mark where the three warning levels begin.";
    let mut plot = Plot::new(&format!("scores-{id}"), "Anomaly scores 异常得分", description, MARKED, x, y)
        .y_axis("share of each class 占比", &y.percent_ticks(4))
        .x_axis("anomaly score, higher is stranger 异常得分，越高越异常", &factor_ticks(*first, *last))
        .area("fill good", &good)
        .area("fill bad", &bad)
        .line("line thin good", &good)
        .line("line thin bad", &bad);
    let t = &facts.thresholds;
    for (level, threshold) in [(1, t.general), (2, t.serious), (3, t.critical)] {
        if (*first..*last).contains(&threshold) {
            let at = threshold.log10();
            plot = plot.segment(&format!("warn warn-{level}"), (at, 0.0), (at, highest * 1.08));
        }
    }
    plot.key(&[("swatch good", "good 好"), ("swatch bad", "bad 坏")]).finish()
}

/// Test rows at each level, side by side; what is bad of them is dark.
pub(super) fn levels(facts: &AnomalyFacts) -> Svg {
    const WIDTH: f64 = 440.0;
    let [good, bad] = facts.test_rows;
    let (mut warned, mut found) = (0.0, 0.0);
    let mut parts = Vec::new();
    for (at, w) in facts.warned.iter().enumerate() {
        parts.push((at + 1, w.good, w.bad));
        (warned, found) = (warned + w.good, found + w.bad);
    }
    parts.insert(0, (0, good - warned, bad - found));
    let total = (good + bad).max(1.0);
    let mut canvas = Canvas::bar(WIDTH, 26.0);
    let mut x = 0.0;
    for (level, good, bad) in parts {
        let width = WIDTH * (good + bad) / total;
        let tip = format!("{} rows, {} bad", count(good + bad), count(bad));
        canvas.rect(&format!("level-{level}"), (x, 0.0), ((width - 1.0).max(0.0), 18.0), &tip);
        let dark = (width - 1.0).max(0.0) * bad / (good + bad).max(1.0);
        canvas.rect("swatch bad", (x, 20.0), (dark, 5.0), &tip);
        x += width;
    }
    canvas.finish()
}

/// Where goods and bads lie along the log-odds of good.
pub(super) fn distribution(id: &str, evaluation: &CreditEvaluation) -> Svg {
    let (grid, histogram) = (&evaluation.grid, &evaluation.test.histogram);
    let Some((from, to)) = occupied(histogram) else { return Svg::default() };
    let width = (grid.upper - grid.lower) / grid.cells.max(1) as f64;
    let per_bar = (to - from + 1).div_ceil(46).max(1);
    let steps = |counts: &[f64]| -> Vec<(f64, f64)> {
        let total = counts.iter().sum::<f64>().max(1.0);
        let bar = |start: usize| {
            let share = counts.iter().skip(start).take(per_bar).sum::<f64>() / total;
            let left = grid.lower + width * start as f64;
            [(left, share), (left + width * per_bar as f64, share)]
        };
        (from..=to).step_by(per_bar).flat_map(bar).collect()
    };
    let (good, bad) = (steps(&histogram.good), steps(&histogram.bad));
    let highest = good.iter().chain(&bad).fold(0.0f64, |m, p| m.max(p.1));
    let (x, y) = (Scale::around(good.iter().map(|p| p.0), 0.0), Scale::Linear(0.0, highest * 1.06 + 1e-9));
    let description = "Shares of the good and of the bad test firms by score.";
    Plot::new(&format!("distribution-{id}"), "Score distribution 得分分布", description, MARKED, x, y)
        .y_axis("share of each class 占比", &y.percent_ticks(4))
        .x_axis("log-odds of good 好的对数几率", &x.ticks(7))
        .area("fill good", &good)
        .area("fill bad", &bad)
        .line("line thin good", &good)
        .line("line thin bad", &bad)
        .key(&[("swatch good", "good 好"), ("swatch bad", "bad 坏")])
        .finish()
}

fn occupied(histogram: &ScoreHistogram) -> Option<(usize, usize)> {
    let full = |(good, bad): (&f64, &f64)| good + bad > 0.0;
    let cells = || histogram.good.iter().zip(&histogram.bad);
    let last = cells().rev().position(full)?;
    Some((cells().position(full)?, cells().len() - 1 - last))
}

/// Observed against expected bad rates.
pub(super) fn calibration(id: &str, test: &Population) -> Option<Svg> {
    let c = test.calibration.as_ref()?;
    let top = c.groups.iter().fold(0.01f64, |m, g| m.max(g.expected_rate).max(wilson(g.bad, g.rows).1));
    let end = (top * 1.04).min(1.0);
    let unit = Scale::Linear(0.0, end);
    let description = format!(
        "Observed against expected bad rate in {} groups of test firms, with 95 percent intervals.",
        c.groups.len()
    );
    let mut plot = Plot::new(&format!("calibration-{id}"), "Calibration 校准", &description, CHART, unit, unit)
        .y_axis("observed bad rate 实际坏账率 (95 %)", &unit.percent_ticks(5))
        .x_axis("expected bad rate 预期坏账率", &unit.percent_ticks(5))
        .segment("diagonal", (0.0, 0.0), (end, end));
    for g in &c.groups {
        let (lo, hi) = wilson(g.bad, g.rows);
        let (x, y) = (g.expected_rate, g.observed_rate);
        let tip = format!("{} firms: expected {}, observed {}", count(g.rows), percent(x, 1), percent(y, 1));
        plot = plot.segment("whisker main", (x, lo), (x, hi)).dot("dot main", (x, y), 3.5, &tip);
    }
    let text = format!("error 误差 {}", fixed(c.expected_calibration_error, 4));
    Some(plot.text("name main-text", (end * 0.98, end * 0.06), (0.0, 0.0), Anchor::End, &text).finish())
}
