//! The charts of a joint report.

use haihe_models::{metrics::roc, vertical::passes::Pass};
use haihe_protocol::vertical::work::Evaluation;
use haihe_simulations::joint::JointComparison;

use super::super::{
    charts::{Anchor, Frame, Plot, Scale, Svg},
    format::fixed,
};

/// Area under the curve of every model, with one standard error to each side.
pub(super) fn comparison(c: &JointComparison, names: &[String]) -> Svg {
    let rows = c.models.len() as f64;
    let ends = c.models.iter().flat_map(|m| {
        let (auc, error) = (m.figures.auc, m.auc_standard_error);
        [auc - error, auc + error]
    });
    let (x, y) = (Scale::around(ends, 0.06), Scale::Linear(0.0, rows));
    let wide = |c: char| if c as u32 >= 0x2e80 { 13.0 } else { 7.0 };
    let longest = names.iter().map(|n| n.chars().map(wide).sum::<f64>()).fold(120.0, f64::max);
    let frame = Frame { height: rows * 34.0 + 66.0, left: longest.min(340.0) + 16.0, top: 20.0, ..Frame::FULL };
    let description =
        "Area under the ROC curve of each model on the common test firms, with one standard error to each side.";
    let mut plot = Plot::new("compared", "AUC by model AUC 对比", description, frame, x, y)
        .x_axis("AUC ± standard error 标准误 (higher is better 越高越好)", &x.ticks(8));
    for (row, (model, name)) in c.models.iter().zip(names).enumerate() {
        let at = rows - row as f64 - 0.5;
        let (auc, error) = (model.figures.auc, model.auc_standard_error);
        let class = match model.name.as_str() {
            "joint" => "main",
            "pooled" => "pooled",
            _ if row == 0 => "bad",
            _ => "second",
        };
        if let Scale::Linear(left, right) = x {
            plot = plot.segment("grid", (left, at), (right, at));
            plot = plot.text("tick dark", (left, at), (-8.0, 4.0), Anchor::End, name);
        }
        plot = plot.segment("dumbbell", (auc - error, at), (auc + error, at));
        let mark = if class == "pooled" { "ring pooled".to_owned() } else { format!("dot {class}") };
        plot = plot.dot(&mark, (auc, at), 6.0, &format!("{}: {} ± {}", model.name, fixed(auc, 4), fixed(error, 4)));
        plot = plot.text("name", (auc, at), (0.0, -9.0), Anchor::Middle, &fixed(auc, 4));
    }
    plot.finish()
}

/// Share of the bads found against share of the goods refused.
pub(super) fn roc_curve(evaluation: &Evaluation, auc: f64) -> Svg {
    let curve: Vec<(f64, f64)> = roc(&evaluation.test)
        .unwrap_or_default()
        .iter()
        .map(|p| (p.false_positive_rate, p.true_positive_rate))
        .collect();
    let unit = Scale::Linear(0.0, 1.0);
    let description = format!("ROC curve of the common test firms, area {}.", fixed(auc, 4));
    Plot::new("roc", "ROC curve ROC 曲线", &description, Frame::HALF, unit, unit)
        .y_axis("bads refused 坏客户拒绝率", &unit.percent_ticks(5))
        .x_axis("goods refused 好客户误拒率", &unit.percent_ticks(5))
        .segment("diagonal", (0.0, 0.0), (1.0, 1.0))
        .area("wash", &curve)
        .line("line main", &curve)
        .text("name main-text", (0.98, 0.08), (0.0, 0.0), Anchor::End, &format!("test 测试  AUC {}", fixed(auc, 4)))
        .finish()
}

/// Where goods and bads lie along the points.
pub(super) fn distribution(evaluation: &Evaluation) -> Svg {
    let grid = &evaluation.grid;
    let width = (grid.upper - grid.lower) / grid.cells.max(1) as f64;
    let per_bar = grid.cells.div_ceil(40).max(1);
    let steps = |counts: &[f64]| -> Vec<(f64, f64)> {
        let total = counts.iter().sum::<f64>().max(1.0);
        let bar = |(at, cells): (usize, &[f64])| {
            let left = grid.lower + width * (at * per_bar) as f64;
            let share = cells.iter().sum::<f64>() / total;
            [(left, share), (left + width * cells.len() as f64, share)]
        };
        counts.chunks(per_bar).enumerate().flat_map(bar).collect()
    };
    let (good, bad) = (steps(&evaluation.test.good), steps(&evaluation.test.bad));
    let highest = good.iter().chain(&bad).fold(0.0f64, |m, p| m.max(p.1));
    let (x, y) = (Scale::Linear(grid.lower, grid.upper), Scale::Linear(0.0, highest * 1.06 + 1e-9));
    let description = "Shares of the good and of the bad common test firms by points.";
    Plot::new("distribution", "Score distribution 得分分布", description, Frame { top: 40.0, ..Frame::HALF }, x, y)
        .y_axis("share of each class 占比", &y.percent_ticks(4))
        .x_axis("points 分值", &x.ticks(7))
        .area("fill good", &good)
        .area("fill bad", &bad)
        .line("line thin good", &good)
        .line("line thin bad", &bad)
        .key(&[("swatch good", "good 好"), ("swatch bad", "bad 坏")])
        .finish()
}

fn pass_ticks(passes: &[Pass]) -> Vec<(f64, String)> {
    let every = passes.len().div_ceil(10).max(1);
    passes.iter().step_by(every).map(|p| (p.pass as f64, p.pass.to_string())).collect()
}

/// Mean loss of the training firms after each pass; pass 0 is the label holder alone.
pub(super) fn loss(passes: &[Pass]) -> Svg {
    let points: Vec<(f64, f64)> = passes.iter().map(|p| (p.pass as f64, p.loss)).collect();
    let (Some(first), Some(last)) = (points.first().copied(), points.last().copied()) else { return Svg::default() };
    let (x, y) = (Scale::around(points.iter().map(|p| p.0), 0.05), Scale::around(points.iter().map(|p| p.1), 0.1));
    let frame = Frame { height: 290.0, right: 30.0, ..Frame::HALF };
    let mut plot = Plot::new("loss", "Loss 损失", "Mean loss of the training firms after each pass.", frame, x, y)
        .y_axis("mean loss 平均损失", &y.ticks(5))
        .x_axis("pass 轮次", &pass_ticks(passes))
        .line("line main", &points);
    for p in &points {
        plot = plot.dot("dot main", *p, 3.5, &format!("pass {}: {}", p.0, fixed(p.1, 6)));
    }
    plot.text("name bad-text", first, (10.0, 4.0), Anchor::Start, &format!("alone 单独 {}", fixed(first.1, 5)))
        .text("name main-text", last, (0.0, -12.0), Anchor::End, &format!("joint 联合 {}", fixed(last.1, 5)))
        .finish()
}

/// Change of the log-odds that each direction asked for, in powers of ten.
pub(super) fn asked(passes: &[Pass]) -> Svg {
    let points = passes.iter().filter_map(|p| Some((p.pass as f64, p.asked?)));
    let points: Vec<(f64, f64)> = points.filter(|p| p.1 > 0.0).collect();
    let exponents = points
        .iter()
        .map(|p| p.1.log10())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), e| (lo.min(e), hi.max(e)));
    if points.is_empty() {
        return Svg::default();
    }
    // The casts saturate.
    let y = Scale::Log((exponents.0 - 0.05).floor() as i32, (exponents.1 + 0.05).ceil() as i32);
    let x = Scale::around(passes.iter().map(|p| p.pass as f64), 0.05);
    let description = "Change of the log-odds that the direction of each pass asked for, on a logarithmic scale.";
    let frame = Frame { height: 290.0, right: 30.0, ..Frame::HALF };
    let mut plot = Plot::new("asked", "Convergence 收敛", description, frame, x, y)
        .y_axis("change asked for 所求变化", &y.ticks(6))
        .x_axis("pass 轮次", &pass_ticks(passes))
        .line("line second", &points);
    for p in &points {
        plot = plot.dot("dot second", *p, 3.5, &format!("pass {}: {:.2e}", p.0, p.1));
    }
    plot.finish()
}
