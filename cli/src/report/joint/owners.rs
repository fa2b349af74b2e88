//! Each owner's part of a joint scorecard.

use haihe_models::{
    binning::{Binning, Trend},
    vertical::{COEFFICIENT_BITS, encoding::ColumnEncoder, score::Term},
};

use super::{
    super::{
        charts::Svg,
        figures::{share_bar, woe_bar},
        format::{DASH, count, fixed, percent, signed},
        scorecard::BinRow,
        words::{self, both},
    },
    data::{HolderFacts, JointReport, Note, OwnerPart},
};

/// One owner's section.
pub(super) struct OwnerView {
    pub(super) id: String,
    pub(super) name: Note,
    pub(super) base: Option<String>,
    pub(super) offered: u32,
    pub(super) variables: Vec<VariableView>,
    /// A column's evidence is turned around.
    pub(super) reversed: bool,
    /// Columns that take no part, and why.
    pub(super) dropped: Vec<(String, Note)>,
}

/// One column.
pub(super) struct VariableView {
    pub(super) name: String,
    pub(super) coefficient: String,
    pub(super) iv: String,
    pub(super) iv_bar: Svg,
    pub(super) range: String,
    pub(super) trend: Note,
    pub(super) bins: Vec<BinRow>,
    /// A standardised column has no bins: its points per standard deviation.
    pub(super) plain: Option<String>,
    /// Points between its worst and its best bin, for the order.
    span: f64,
}

/// The sections, the label holder's first.
pub(super) fn views(report: &JointReport) -> Vec<OwnerView> {
    let binnings = || report.owners.iter().flat_map(|o| o.block.columns.iter().filter_map(binning));
    let largest = Largest {
        woe: binnings().flat_map(|b| &b.bins).fold(0.0, |m, b| m.max(b.woe.abs())),
        iv: binnings().fold(0.0, |m, b| m.max(b.iv)),
    };
    report.owners.iter().filter_map(|owner| view(report, owner, &largest)).collect()
}

struct Largest {
    woe: f64,
    iv: f64,
}

fn binning(term: &Term) -> Option<&Binning> {
    match &term.encoder {
        ColumnEncoder::Woe { binning } => Some(binning),
        ColumnEncoder::Standardise { .. } => None,
    }
}

/// A holder for people.
pub(super) fn name(holder: &HolderFacts) -> Note {
    let en = if holder.label.is_empty() { holder.party.as_str() } else { &holder.label };
    both(en, holder.label_zh.as_str())
}

fn view(report: &JointReport, owner: &OwnerPart, largest: &Largest) -> Option<OwnerView> {
    let holder = report.holders.iter().find(|h| h.party == owner.party)?;
    let scaling = &report.terms.scaling;
    let points = owner.block.points(scaling);
    let variables = owner.block.columns.iter().zip(&points);
    let mut variables: Vec<VariableView> =
        variables.map(|(term, (_, points))| variable(term, points, scaling.factor(), largest)).collect();
    variables.sort_by(|a, b| b.span.total_cmp(&a.span));
    Some(OwnerView {
        id: owner.party.to_string(),
        name: name(holder),
        base: holder.label_holder.then(|| fixed(owner.block.base_points(scaling), 0)),
        offered: holder.columns,
        variables,
        reversed: owner.block.columns.iter().any(|t| binning(t).is_some() && t.coefficient > 0),
        dropped: owner.block.dropped.iter().map(|d| (d.column.clone(), words::dropped(&d.reason))).collect(),
    })
}

fn variable(term: &Term, points: &[f64], factor: f64, largest: &Largest) -> VariableView {
    let coefficient = term.coefficient as f64 * 2f64.powi(-(COEFFICIENT_BITS as i32));
    let (lo, hi) = points.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), p| (lo.min(*p), hi.max(*p)));
    let Some(binning) = binning(term) else {
        return VariableView {
            name: term.encoder.column().to_owned(),
            // In log-odds of good, as people read scorecards.
            coefficient: fixed(-coefficient, 4),
            iv: DASH.to_owned(),
            iv_bar: Svg::default(),
            range: DASH.to_owned(),
            trend: both("", ""),
            bins: Vec::new(),
            plain: Some(signed(-factor * coefficient, 1)),
            span: (factor * coefficient).abs(),
        };
    };
    let rows: f64 = binning.bins.iter().map(|b| b.good + b.bad).sum();
    let bins = binning.bins.iter().zip(points).map(|(bin, points)| {
        let firms = bin.good + bin.bad;
        BinRow {
            label: words::bin(bin),
            exact: haihe_models::export::bin_label(bin),
            good: count(bin.good),
            bad: count(bin.bad),
            suppressed: bin.suppressed_below.map(words::suppressed),
            share: percent(firms / rows.max(1.0), 1),
            bad_rate: if firms > 0.0 { percent(bin.bad / firms, 1) } else { DASH.to_owned() },
            woe: signed(bin.woe, 3),
            bar: woe_bar(bin.woe, largest.woe),
            points: signed(*points, 0),
            neutral: bin.neutral,
        }
    });
    VariableView {
        name: term.encoder.column().to_owned(),
        coefficient: fixed(-coefficient, 4),
        iv: fixed(binning.iv, 4),
        iv_bar: share_bar("swatch main", binning.iv, largest.iv),
        range: format!("{} … {}", signed(lo, 0), signed(hi, 0)),
        trend: match binning.monotone {
            // Log-odds of bad: a positive coefficient turns the evidence around.
            _ if coefficient > 0.0 => both("reversed beside related columns", "与相关列并用时反向"),
            Trend::Increasing => both("larger is better", "越大越好"),
            Trend::Decreasing => both("larger is worse", "越大越差"),
            Trend::None => both("no order", "无序"),
        },
        bins: bins.collect(),
        plain: None,
        span: hi - lo,
    }
}
