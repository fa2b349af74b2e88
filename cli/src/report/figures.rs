//! The charts of a report.

use haihe_models::{
    metrics::{RocPoint, ScoreHistogram, roc},
    scorecard::Scorecard,
};
use haihe_protocol::horizontal::scorecard::Evaluation;
use haihe_simulations::baseline::ADAPTED;

use super::{
    charts::{Anchor, Canvas, Frame, Plot, Scale, Svg},
    data::{Comparison, RoundFacts},
    facts::{self, LEVEL_ENDS, Level, points_at},
    format::{count, fixed, percent, value},
};

/// Share of the bads found against share of the goods refused.
pub(super) fn roc_curve(evaluation: &Evaluation) -> Svg {
    let points = |histogram| -> Vec<(f64, f64)> {
        let curve = roc(histogram).unwrap_or_default();
        let at = |p: &RocPoint| (p.false_positive_rate, p.true_positive_rate);
        curve.iter().map(at).collect()
    };
    let auc = |m: &Option<haihe_models::metrics::Ranking>| m.map_or(f64::NAN, |r| r.auc);
    let test = auc(&evaluation.test.ranking);
    let train = auc(&evaluation.train.ranking);
    let description = format!(
        "ROC curve of the test firms, area {}, and of the training firms, area {}.",
        fixed(test, 4),
        fixed(train, 4)
    );
    let curve = points(&evaluation.test.histogram);
    let unit = Scale::Linear(0.0, 1.0);
    Plot::new("roc", "ROC curve ROC 曲线", &description, Frame::HALF, unit, unit)
        .y_axis("bads refused 坏客户拒绝率", &unit.percent_ticks(5))
        .x_axis("goods refused 好客户误拒率", &unit.percent_ticks(5))
        .segment("diagonal", (0.0, 0.0), (1.0, 1.0))
        .area("wash", &curve)
        .line("line second dashed", &points(&evaluation.train.histogram))
        .line("line main", &curve)
        .text("name main-text", (0.98, 0.16), (0.0, 0.0), Anchor::End, &format!("test 测试  AUC {}", fixed(test, 4)))
        .text(
            "name second-text",
            (0.98, 0.08),
            (0.0, 0.0),
            Anchor::End,
            &format!("training 训练 (dashed)  AUC {}", fixed(train, 4)),
        )
        .finish()
}

/// The points axis over the scores that occur.
fn points_axis(scorecard: &Scorecard, evaluation: &Evaluation, histogram: &ScoreHistogram) -> Option<Scale> {
    let grid = &evaluation.grid;
    let (first, last) = facts::occupied(histogram)?;
    let width = (grid.upper - grid.lower) / grid.cells as f64;
    let from = facts::upper_end(grid, first) - 2.0 * width;
    let to = facts::upper_end(grid, last) + width;
    Some(Scale::Linear(points_at(scorecard, from), points_at(scorecard, to)))
}

/// Shares of goods and bads at or below each score.
pub(super) fn ks_curve(scorecard: &Scorecard, evaluation: &Evaluation) -> Svg {
    let (grid, histogram) = (&evaluation.grid, &evaluation.test.histogram);
    let (Some(x), Some(cut)) = (points_axis(scorecard, evaluation, histogram), facts::ks_point(grid, histogram)) else {
        return Svg::default();
    };
    let curve = facts::cumulative(grid, histogram);
    let line = |share: fn(&(f64, f64, f64)) -> f64| -> Vec<(f64, f64)> {
        let inside =
            |p: &&(f64, f64, f64)| matches!(x, Scale::Linear(lo, hi) if (lo..=hi).contains(&points_at(scorecard, p.0)));
        curve.iter().filter(inside).map(|p| (points_at(scorecard, p.0), share(p))).collect()
    };
    let (good, bad) = (line(|p| p.1), line(|p| p.2));
    let reaches = |line: &[(f64, f64)], share: f64| line.iter().find(|p| p.1 >= share).copied().unwrap_or((0.0, share));
    let (at, ks) = (points_at(scorecard, cut.log_odds), (cut.good - cut.bad).abs());
    let description = format!(
        "Cumulative shares of good and bad test firms by points; the largest distance, {}, is at {} points.",
        fixed(ks, 4),
        fixed(at, 0)
    );
    let unit = Scale::Linear(0.0, 1.0);
    let (on_bad, on_good) = (reaches(&bad, 0.86), reaches(&good, 0.6));
    Plot::new("ks", "KS plot KS 曲线", &description, Frame::HALF, x, unit)
        .y_axis("firms at or below 累计占比", &unit.percent_ticks(5))
        .x_axis("points 分值", &x.ticks(7))
        .line("line good", &good)
        .line("line bad", &bad)
        .segment("line gap", (at, cut.good), (at, cut.bad))
        .text("name good-text", on_good, (9.0, 4.0), Anchor::Start, "good 好客户")
        .text("name bad-text", on_bad, (-9.0, 0.0), Anchor::End, "bad 坏客户")
        .text("name", (at, (cut.good + cut.bad) / 2.0), (-7.0, 4.0), Anchor::End, &format!("KS {}", fixed(ks, 4)))
        .dot(
            "dot bad",
            (at, cut.bad),
            3.0,
            &format!("{} of the bads have {} points or less", percent(cut.bad, 1), fixed(at, 0)),
        )
        .dot(
            "dot good",
            (at, cut.good),
            3.0,
            &format!("{} of the goods have {} points or less", percent(cut.good, 1), fixed(at, 0)),
        )
        .finish()
}

/// Steps of a histogram, put together to about `bars` bars: `(points, share of all)`.
fn steps(
    scorecard: &Scorecard,
    evaluation: &Evaluation,
    counts: &[f64],
    range: (usize, usize),
    bars: usize,
) -> Vec<(f64, f64)> {
    let grid = &evaluation.grid;
    let width = (range.1 - range.0 + 1).div_ceil(bars).max(1);
    let total: f64 = counts.iter().sum();
    let end = |cell: usize| points_at(scorecard, facts::upper_end(grid, cell));
    let cell_points = end(1) - end(0);
    let mut points = Vec::new();
    for start in (range.0..=range.1).step_by(width) {
        let share = counts.iter().skip(start).take(width).sum::<f64>() / total.max(1.0);
        let left = end(start) - cell_points;
        points.push((left, share));
        points.push((left + cell_points * width as f64, share));
    }
    points
}

fn highest(lines: &[&[(f64, f64)]]) -> f64 {
    lines.iter().flat_map(|l| l.iter()).fold(0.0f64, |m, p| m.max(p.1))
}

/// Where goods and bads lie along the points, with the ends of the warning levels.
pub(super) fn distribution(scorecard: &Scorecard, evaluation: &Evaluation) -> Svg {
    let histogram = &evaluation.test.histogram;
    let Some(range) = facts::occupied(histogram) else {
        return Svg::default();
    };
    let of = |counts| steps(scorecard, evaluation, counts, range, 46);
    let (good, bad) = (of(&histogram.good), of(&histogram.bad));
    let x = Scale::around(good.iter().map(|p| p.0), 0.0);
    let y = Scale::Linear(0.0, highest(&[&good, &bad]) * 1.06 + 1e-9);
    let description = "Shares of the good and of the bad test firms by points; dashed lines where the probability of default is 5, 10 and 20 percent.";
    let mut plot = Plot::new("distribution", "Score distribution 得分分布", description, Frame::FULL, x, y)
        .y_axis("share of each class 占比", &y.percent_ticks(4))
        .x_axis("points 分值", &x.ticks(12))
        .area("fill good", &good)
        .area("fill bad", &bad)
        .line("line thin good", &good)
        .line("line thin bad", &bad)
        .key(&[("swatch good", "good 好客户"), ("swatch bad", "bad 坏客户")]);
    for pd in LEVEL_ENDS {
        let at = facts::points_at_pd(scorecard, pd);
        if matches!(x, Scale::Linear(lo, hi) if at > lo && at < hi) {
            plot = plot.vertical("threshold", at, &format!("PD {}", percent(pd, 0)));
        }
    }
    plot.finish()
}

/// One party's firms against all test firms.
pub(super) fn small_distribution(scorecard: &Scorecard, evaluation: &Evaluation, at: usize, name: &str) -> Svg {
    let all: Vec<f64> = sum(&evaluation.test.histogram);
    let (Some(range), Some(own)) = (facts::occupied(&evaluation.test.histogram), evaluation.per_party.get(at)) else {
        return Svg::default();
    };
    let own = sum(&own.test.histogram);
    let of = |counts: &[f64]| steps(scorecard, evaluation, counts, range, 26);
    // One height for all parties, so that they can be compared.
    let tallest = |m: f64, h: &ScoreHistogram| m.max(highest(&[&of(&sum(h))]));
    let top = evaluation.per_party.iter().map(|p| &p.test.histogram).fold(highest(&[&of(&all)]), tallest);
    let (all, own) = (of(&all), of(&own));
    let x = Scale::around(all.iter().map(|p| p.0), 0.0);
    let y = Scale::Linear(0.0, top * 1.05 + 1e-9);
    let title = format!("Score distribution of {name}");
    let description = "Filled: this party's test firms. Line: test firms of all parties.";
    Plot::new(&format!("own-{at}"), &title, description, Frame::SMALL, x, y)
        .y_axis("", &y.percent_ticks(3))
        .x_axis("", &x.ticks(5))
        .area("fill third", &own)
        .line("line thin third", &own)
        .line("line thin second", &all)
        .finish()
}

fn sum(h: &ScoreHistogram) -> Vec<f64> {
    h.good.iter().zip(&h.bad).map(|(g, b)| g + b).collect()
}

/// Observed against expected bad rates.
pub(super) fn calibration(evaluation: &Evaluation) -> Svg {
    let Some(shared) = &evaluation.test.calibration else {
        return Svg::default();
    };
    let own = evaluation.test_recalibrated.as_ref().and_then(|m| m.calibration.as_ref());
    let groups = || shared.groups.iter().chain(own.iter().flat_map(|c| &c.groups));
    let top = groups().fold(0.01f64, |m, g| m.max(g.expected_rate).max(facts::wilson(g.bad, g.rows).1));
    let unit = Scale::Linear(0.0, (top * 1.04).min(1.0));
    let end = (top * 1.04).min(1.0);
    let description = format!(
        "Observed against expected bad rate in {} groups of test firms, with 95 percent intervals; the expected calibration error is {}.",
        shared.groups.len(),
        fixed(shared.expected_calibration_error, 4)
    );
    let mut plot = Plot::new("calibration", "Calibration 校准", &description, Frame::HALF, unit, unit)
        .y_axis("observed bad rate 实际坏账率 (95 %)", &unit.percent_ticks(5))
        .x_axis("expected bad rate 预期坏账率", &unit.percent_ticks(5))
        .segment("diagonal", (0.0, 0.0), (end, end));
    for (class, mark, calibration) in [("third", "ring third", own), ("main", "dot main", Some(shared))] {
        for g in calibration.into_iter().flat_map(|c| &c.groups) {
            let (lo, hi) = facts::wilson(g.bad, g.rows);
            let (x, y) = (g.expected_rate, g.observed_rate);
            let tip = format!(
                "{} firms: expected {}, observed {} ({} to {})",
                count(g.rows),
                percent(x, 1),
                percent(y, 1),
                percent(lo, 1),
                percent(hi, 1)
            );
            plot = plot.segment(&format!("whisker {class}"), (x, lo), (x, hi)).dot(
                mark,
                (x, y),
                if class == "main" { 3.5 } else { 6.0 },
                &tip,
            );
        }
    }
    let ece = |e: f64| format!("error {}", fixed(e, 4));
    plot = plot.text(
        "name main-text",
        (end * 0.98, end * 0.12),
        (0.0, 0.0),
        Anchor::End,
        &format!("shared 联邦模型, {}", ece(shared.expected_calibration_error)),
    );
    if let Some(own) = own {
        let text = format!("after local changes 本地调整后, {}", ece(own.expected_calibration_error));
        plot = plot.text("name third-text", (end * 0.98, end * 0.05), (0.0, 0.0), Anchor::End, &text);
    }
    plot.finish()
}

/// Figures of the regression rounds: `(round, value)`.
fn trace(rounds: &[RoundFacts], figure: &str) -> Vec<(f64, f64)> {
    let regression = rounds.iter().filter(|r| r.summary.step == "regression");
    regression
        .filter_map(|r| Some((r.round as f64, *r.summary.figures.get(figure)?)))
        .filter(|p| p.1.is_finite())
        .collect()
}

/// Ticks at whole rounds.
fn round_ticks(x: Scale) -> Vec<(f64, String)> {
    let whole = |t: &(f64, String)| t.0 == t.0.trunc();
    x.ticks(8).into_iter().filter(whole).collect()
}

/// Mean log-likelihood by round.
pub(super) fn log_likelihood(rounds: &[RoundFacts]) -> Svg {
    let points = trace(rounds, "mean_log_likelihood");
    let Some(last) = points.last().copied() else {
        return Svg::default();
    };
    let x = Scale::around(points.iter().map(|p| p.0), 0.04);
    let y = Scale::around(points.iter().map(|p| p.1), 0.08);
    let description = format!("Mean log-likelihood by round, {} at the end.", fixed(last.1, 6));
    let frame = Frame { left: 62.0, height: 290.0, right: 22.0, ..Frame::HALF };
    let mut plot = Plot::new("likelihood", "Log-likelihood 对数似然", &description, frame, x, y)
        .y_axis("mean log-likelihood 平均对数似然", &y.ticks(5))
        .x_axis("round 轮次", &round_ticks(x))
        .line("line main", &points);
    for p in &points {
        plot = plot.dot("dot main", *p, 3.5, &format!("round {}: {}", p.0, fixed(p.1, 6)));
    }
    plot.text("name main-text", last, (0.0, 20.0), Anchor::End, &fixed(last.1, 6)).finish()
}

/// Largest change of a coefficient, and largest entry of the gradient, by round, in powers of ten.
pub(super) fn step_size(rounds: &[RoundFacts]) -> Svg {
    let (steps, gradient) = (trace(rounds, "step"), trace(rounds, "gradient"));
    let positive =
        |points: &[(f64, f64)]| -> Vec<(f64, f64)> { points.iter().filter(|p| p.1 > 0.0).copied().collect() };
    let (moved, slope) = (positive(&steps), positive(&gradient));
    let all = || moved.iter().chain(&slope);
    let Some(exponents) = all()
        .map(|p| p.1.log10())
        .fold(None, |range: Option<(f64, f64)>, e| Some(range.map_or((e, e), |(lo, hi)| (lo.min(e), hi.max(e)))))
    else {
        return Svg::default();
    };
    // The casts saturate.
    let y = Scale::Log((exponents.0 - 0.05).floor() as i32, (exponents.1 + 0.05).ceil() as i32);
    let x = Scale::around(steps.iter().chain(&gradient).map(|p| p.0), 0.04);
    let description =
        "Largest change of a coefficient and largest entry of the gradient by round, on a logarithmic scale.";
    let frame = Frame { height: 290.0, top: 44.0, right: 40.0, ..Frame::HALF };
    let mut plot = Plot::new("steps", "Convergence 收敛", description, frame, x, y)
        .y_axis("", &y.ticks(6))
        .x_axis("round 轮次", &round_ticks(x))
        .line("line second dashed", &slope);
    for (from, to) in runs(&steps) {
        plot = plot.line("line main", &steps[from..to]);
    }
    for (class, points, what) in [("second", &slope, "largest gradient entry"), ("main", &moved, "largest step")] {
        for p in points {
            plot = plot.dot(&format!("dot {class}"), *p, 3.5, &format!("round {}: {what} {:.2e}", p.0, p.1));
        }
    }
    for (round, _) in steps.iter().filter(|p| p.1 == 0.0) {
        plot = plot.vertical("threshold", *round, "converged 收敛");
    }
    plot.key(&[("swatch main", "step 步长"), ("swatch second", "gradient 梯度")]).finish()
}

/// Stretches of positive values.
fn runs(points: &[(f64, f64)]) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    for (at, point) in points.iter().enumerate() {
        match found.last_mut() {
            _ if point.1 <= 0.0 => {}
            Some(run) if run.1 == at => run.1 = at + 1,
            _ => found.push((at, at + 1)),
        }
    }
    found
}

/// A weight of evidence as a bar to the left or the right of a line; `largest` fills the half.
pub(super) fn woe_bar(woe: f64, largest: f64) -> Svg {
    let mut canvas = Canvas::bar(140.0, 12.0);
    let length = if largest > 0.0 { 68.0 * (woe.abs() / largest).min(1.0) } else { 0.0 };
    if woe > 0.0 {
        canvas.rect("swatch good", (70.0, 1.0), (length, 10.0), "");
    } else if woe < 0.0 {
        canvas.rect("swatch bad", (70.0 - length, 1.0), (length, 10.0), "");
    }
    canvas.segment("axis", (70.0, 0.0), (70.0, 12.0));
    canvas.finish()
}

/// A share as a bar; `largest` fills the width.
pub(super) fn share_bar(class: &str, share: f64, largest: f64) -> Svg {
    let mut canvas = Canvas::bar(140.0, 12.0);
    let length = if largest > 0.0 && share.is_finite() { 140.0 * (share / largest).clamp(0.0, 1.0) } else { 0.0 };
    canvas.rect(class, (0.0, 1.0), (length, 10.0), "");
    canvas.finish()
}

/// Firms at each level, side by side.
pub(super) fn level_bar(levels: &[Level; 4]) -> Svg {
    let mut canvas = Canvas::bar(560.0, 20.0);
    let mut x = 0.0;
    for (at, level) in levels.iter().enumerate() {
        let width = 560.0 * if level.share.is_finite() { level.share } else { 0.0 };
        let tip = format!("{:?}: {}", level.tier, percent(level.share, 1));
        canvas.rect(&format!("level-{at}"), (x, 0.0), ((width - 1.5).max(0.0), 20.0), &tip);
        if width > 62.0 {
            canvas.text(&format!("on-level-{at}"), (x + width / 2.0, 14.5), Anchor::Middle, &tip.replace(':', ""));
        }
        x += width;
    }
    canvas.finish()
}

/// Correlations of the variables.
pub(super) fn heat_map(names: &[String], matrix: &[Vec<f64>]) -> Svg {
    let n = names.len();
    let longest = names.iter().map(|name| name.chars().take(28).count()).max().unwrap_or(0) as f64;
    let (left, top) = (longest * 6.8 + 42.0, 26.0);
    let cell = ((940.0 - left) / n.max(1) as f64).clamp(14.0, 46.0);
    let tall = cell.min(30.0);
    let description = "Correlations of the weights of evidence; blue is positive, orange is negative, the stronger the colour the larger.";
    let (width, height) = (left + cell * n as f64 + 8.0, top + tall * n as f64 + 8.0);
    let mut canvas = Canvas::new("correlations", "Correlations 相关系数", description, width, height);
    for (i, name) in names.iter().enumerate() {
        let (y, x) = (top + tall * i as f64, left + cell * i as f64);
        let short: String = name.chars().take(28).collect();
        canvas.text("tick dark", (left - 30.0, y + tall / 2.0 + 4.0), Anchor::End, &short);
        canvas.text("tick", (left - 8.0, y + tall / 2.0 + 4.0), Anchor::End, &(i + 1).to_string());
        canvas.text("tick", (x + cell / 2.0, top - 8.0), Anchor::Middle, &(i + 1).to_string());
        for (j, other) in names.iter().enumerate().take(i + 1) {
            let r = matrix.get(i).and_then(|row| row.get(j)).copied().unwrap_or(f64::NAN);
            let at = (left + cell * j as f64, y);
            let class = if r < 0.0 { "negative" } else { "positive" };
            let strength = if r.is_finite() { (r.abs() * 0.92).min(0.92) } else { 0.0 };
            let tip = format!("{name} and {other}: {}", fixed(r, 3));
            canvas.rect_with(class, at, (cell - 1.5, tall - 1.5), strength, &tip);
            if cell >= 32.0 && i != j {
                let class = if strength > 0.55 { "cell strong" } else { "cell" };
                canvas.text(class, (at.0 + cell / 2.0 - 1.0, y + tall / 2.0 + 3.5), Anchor::Middle, &fixed(r, 2));
            }
        }
    }
    canvas.finish()
}

/// Areas under the curve on every population: own model, mean of scores, federated, pooled, and what each party adapted.
pub(super) fn comparison(comparison: &Comparison, names: &[String], ids: &[String]) -> Svg {
    let figure = |model: &str, column: usize| {
        let model = comparison.models.iter().find(|m| m.name == model)?;
        let figures = if column == 0 { model.all } else { model.own.get(column - 1).copied().flatten() };
        figures.map(|f| f.auc).filter(|a| a.is_finite())
    };
    let own = |column: usize| -> Vec<f64> {
        let alone = ids.iter().enumerate().filter(|(i, _)| column == 0 || *i + 1 == column);
        alone.filter_map(|(_, id)| figure(&format!("{id} alone"), column)).collect()
    };
    let marks = [
        ("dot second", "mean of scores"),
        ("ring pooled", "pooled"),
        ("dot main", "federated"),
        ("dot third", ADAPTED),
    ];
    let columns = names.len() + 1;
    let values = (0..columns).flat_map(|c| own(c).into_iter().chain(marks.iter().filter_map(move |m| figure(m.1, c))));
    let x = Scale::around(values, 0.08);
    let rows = columns as f64;
    let row = if columns > 10 { 20.0 } else { 34.0 };
    let longest = names
        .iter()
        .map(|n| n.chars().map(|c| if c as u32 >= 0x2e80 { 13.0 } else { 7.0 }).sum::<f64>())
        .fold(150.0, f64::max);
    let frame = Frame { height: rows * row + 34.0 + 46.0, left: longest.min(320.0) + 16.0, top: 34.0, ..Frame::FULL };
    let y = Scale::Linear(0.0, rows);
    let description = "One line per population: own models, mean of scores, federated, pooled and adapted model by area under the ROC curve.";
    let keys = [
        ("swatch bad", "alone 单独"),
        ("swatch second", "mean of scores 平均得分"),
        ("swatch pooled", "pooled 集中"),
        ("swatch main", "federated 联邦"),
        ("swatch third", "adapted 本地适配"),
    ];
    let mut plot = Plot::new("compared", "AUC by population AUC 对比", description, frame, x, y)
        .x_axis("AUC (higher is better 越高越好)", &x.ticks(8))
        .key(&keys[..if comparison.within.adapted.is_some() { 5 } else { 4 }]);
    for column in 0..columns {
        let at = rows - column as f64 - 0.5;
        let name = if column == 0 { "all test firms 全部测试企业" } else { names[column - 1].as_str() };
        let all = own(column).into_iter().chain(marks.iter().filter_map(|m| figure(m.1, column)));
        let (lo, hi) = all.fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), v| (lo.min(v), hi.max(v)));
        if let Scale::Linear(left, right) = x {
            plot = plot.segment("grid", (left, at), (right, at)).text(
                "tick dark",
                (left, at),
                (-8.0, 4.0),
                Anchor::End,
                name,
            );
        }
        if lo <= hi {
            plot = plot.segment("dumbbell", (lo, at), (hi, at));
        }
        for auc in own(column) {
            plot = plot.dot("dot bad", (auc, at), 5.0, &format!("alone: {}", value(auc)));
        }
        for (class, model) in marks {
            if let Some(auc) = figure(model, column) {
                let radius = if class.starts_with("ring") { 7.0 } else { 4.5 };
                plot = plot.dot(class, (auc, at), radius, &format!("{model}: {}", value(auc)));
            }
        }
    }
    plot.finish()
}
