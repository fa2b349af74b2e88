//! What each party of a vertical job learnt beyond its own rows, in words. Attacks and collusions are the leak report's.

use haihe_protocol::vertical::Encoding;

use super::{
    super::{format::whole, words::both},
    data::{HolderFacts, JointReport, Note},
};

/// What one party learnt.
pub(super) fn of(report: &JointReport, holder: &HolderFacts) -> Vec<Note> {
    let common = whole(report.result.common);
    let mut said = vec![both(
        format!(
            "Which {common} of its {} firms all other parties have too, and how many firms each party brought.",
            whole(holder.firms)
        ),
        format!("其 {} 家企业中哪 {common} 家为各方共有，以及各方带来的企业数。", whole(holder.firms)),
    )];
    said.extend(if holder.label_holder { label_holder(report) } else { feature_holder(report) });
    said
}

fn label_holder(report: &JointReport) -> Vec<Note> {
    let passes = report.result.passes.len().saturating_sub(1);
    let mut said = vec![both(
        "How many firms any group of the parties has in common: only the numbers.",
        "任意几方共有企业的数量（仅数量）。",
    )];
    if report.terms.encoding == Encoding::Woe {
        said.push(both(
            "For every column of the others, without its name or cut points: how many training firms, and how many bad ones, are in \
             each of its narrow bins.",
            "他方每一列（无列名、无切分点）各细分箱中的训练企业数与坏企业数。",
        ));
    }
    said.push(match report.holders.len() {
        0..=2 => both(
            format!(
                "In each of {passes} passes one number per training firm: the other's score in one direction; at the end one more per \
                 common firm. With a single feature holder these are that one's own numbers, not a sum: see the leak report."
            ),
            format!("{passes} 轮中每轮每家训练企业一个数：对方在一个方向上的得分；最后每家共有企业再一个。仅有一个特征方时，这不是总和。"),
        ),
        n => both(
            format!(
                "In each of {passes} passes one number per training firm: the sum of the scores of the other {} in one direction; at \
                 the end one more per common firm. Whose part is how large stays hidden by masks.",
                n - 1
            ),
            format!("{passes} 轮中每轮每家训练企业一个数：其余 {} 方在一个方向上得分之和；最后每家共有企业再一个。各方份额由掩码隐藏。", n - 1),
        ),
    });
    said.push(both(
        "Of each other party the mean of its part of the scores, and how many of its columns are in the model.",
        "其余每一方部分得分的均值及其入模列数。",
    ));
    if report.result.contradicting.is_some() {
        said.push(both(
            "In each review how many columns of each other party contradict their weight of evidence and were left out: not which.",
            "每次复核中其余每一方有几列与证据权重方向相反而被剔除（不知哪些列）。",
        ));
    }
    said.push(both(
        "Its own bins and weights. Not: a column, a value, a cut point, a weight or a gradient of anybody else.",
        "自有分箱与权重。不包括他方的任何列、取值、切分点、权重或梯度。",
    ));
    said
}

fn feature_holder(report: &JointReport) -> Vec<Note> {
    let [goods, bads] = report.terms.minimum_group;
    let mut said = vec![both("Which common firms are for training.", "共有企业中哪些用于训练。")];
    if report.terms.encoding == Encoding::Woe {
        said.push(both(
            format!("For groups of its own bins with at least {goods} good and {bads} bad firms: how many of each."),
            format!("自有分箱合并后（每组至少 {goods} 家好、{bads} 家坏）各组的好坏企业数。"),
        ));
    }
    said.push(both(
        "In each pass its own gradient (one number per own column, summed over all training firms) and how far to go along its own \
         direction; from these its own weights.",
        "每轮得到自有梯度（每列一个数，为全部训练企业之和）及沿自有方向的步长，由此得到自有权重。",
    ));
    said.push(both(
        "Not: the outcome of a firm, a score, a column or a weight of anybody else.",
        "不包括任何企业的违约结果、得分，以及他方的列或权重。",
    ));
    said
}

/// What the coordinator learnt.
pub(super) fn coordinator() -> Vec<Note> {
    vec![
        both(
            "Who took part and when, how many firms each party brought and how many all have, sizes of letters, the loss after each \
             pass, the published figures.",
            "参与方与时间、各方企业数与共有数、信件大小、每轮损失、公布的指标。",
        ),
        both(
            "Not: a code, a row, a label, a score, a weight. Every letter is sealed for its receiver.",
            "不包括任何代码、数据行、标签、得分或权重：每封信均为收件方密封。",
        ),
    ]
}
