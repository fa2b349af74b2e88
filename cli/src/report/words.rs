//! Words in both languages that belong to reports only.

use haihe_models::{
    binning::{Bin, BinKind, Flat},
    export::{Term, terms},
    selection::Reason,
    vertical::DropReason,
};

use haihe_simulations::baseline::ADAPTED;

use super::{
    data::{Note, PartyFacts},
    format::{fixed, p_value, value},
};

/// Both languages, owned.
pub(super) fn both(en: impl Into<String>, zh: impl Into<String>) -> Note {
    Note { en: en.into(), zh: zh.into() }
}

/// A fixed term as a note.
pub(super) fn term(term: Term) -> Note {
    both(term.en, term.zh)
}

/// A party for people: its label if it has one, else its id.
pub(super) fn party(facts: &PartyFacts) -> Note {
    let en = if facts.label.is_empty() { facts.party.as_str() } else { &facts.label };
    both(en, facts.label_zh.as_str())
}

/// A party in one line of a chart.
pub(super) fn party_line(facts: &PartyFacts) -> String {
    let name = party(facts);
    if name.zh.is_empty() { name.en } else { format!("{} {}", name.en, name.zh) }
}

/// A bin in words. Numbers are shortened to six digits; the exact ones are in the scorecard's JSON.
pub(super) fn bin(bin: &Bin) -> Note {
    let mathematics = |text: String| both(text, "");
    match &bin.kind {
        BinKind::Range { lower: None, upper: None } => term(terms::ALL_VALUES),
        BinKind::Range { lower: None, upper: Some(u) } => mathematics(format!("≤ {}", value(*u))),
        BinKind::Range { lower: Some(l), upper: None } => mathematics(format!("> {}", value(*l))),
        BinKind::Range { lower: Some(l), upper: Some(u) } => mathematics(format!("{} < x ≤ {}", value(*l), value(*u))),
        BinKind::Levels { levels, other: false } => mathematics(levels.join(", ")),
        BinKind::Levels { levels, other: true } if levels.is_empty() => term(terms::OTHER),
        BinKind::Levels { levels, other: true } => {
            both(format!("{} + {}", levels.join(", "), terms::OTHER.en), terms::OTHER.zh)
        }
        BinKind::Missing => term(terms::MISSING),
    }
}

/// A count of a bin, or that it is not published.
pub(super) fn suppressed(below: f64) -> String {
    format!("suppressed 已隐去 (< {})", value(below))
}

/// Why a column takes no part in a joint scorecard.
pub(super) fn dropped(reason: &DropReason) -> Note {
    let zh = match reason {
        DropReason::Constant => "训练样本取值无变化",
        DropReason::AllMissing => "训练样本全部缺失",
        DropReason::Categorical => "类别无序，无法标准化",
        DropReason::LowInformation { .. } => "信息值过低",
        DropReason::Correlated { .. } => "与更强的变量高度相关",
        DropReason::WrongSign { .. } => "系数符号与证据权重相反",
    };
    both(reason.to_string(), zh)
}

/// Why a variable is not in the scorecard.
pub(super) fn reason(reason: &Reason) -> Note {
    match reason {
        Reason::Flat(Flat::AllMissing) => both("no training firm has a value", "训练样本全部缺失"),
        Reason::Flat(Flat::Constant) => both("all values are the same", "取值无变化"),
        Reason::Flat(Flat::TooFewRows) => both("too few firms with a value for one bin", "有值企业过少，无法分箱"),
        Reason::Flat(Flat::NoEvidence) => {
            both("no cut separates good from bad firms with enough evidence", "没有足够证据支持的切分点")
        }
        Reason::LowInformation { iv } => both(format!("too little information (IV {})", fixed(*iv, 4)), "信息值过低"),
        Reason::Correlated { with, correlation } => both(
            format!("says what {with} already says (correlation {})", fixed(*correlation, 2)),
            "与更强的变量高度相关",
        ),
        Reason::TooMany => both("the largest number of variables was already taken", "变量数已达上限"),
        Reason::WrongSign { coefficient } => both(
            format!("its coefficient ({}) contradicts its weight of evidence", fixed(*coefficient, 3)),
            "系数符号与证据权重相反",
        ),
        Reason::NotSignificant { p_value: p } => both(
            format!("adds nothing beside the others that could be told from chance (p {})", p_value(*p)),
            "在其他变量之外无显著作用",
        ),
    }
}

/// What a population stability index says.
pub(super) fn stability(psi: f64) -> Note {
    match psi {
        p if p < 0.1 => both("stable", "稳定"),
        p if p <= 0.25 => both("some shift", "轻微偏移"),
        p if p.is_finite() => both("shifted", "显著偏移"),
        _ => both("", ""),
    }
}

/// Steps of a job.
pub(super) fn step(step: &str) -> Note {
    let zh = match step {
        "profile" => "数据概览",
        "label_counts" => "好坏计数",
        "correlation" => "相关性",
        "regression" => "回归",
        "evaluation" => "评估",
        "train" => "训练",
        "grow" => "生长",
        "drivers" => "驱动因素",
        _ => "",
    };
    both(step.replace('_', " "), zh)
}

/// Models of the comparison.
pub(super) fn model(name: &str, parties: &[PartyFacts]) -> Note {
    match name {
        "federated" => both("Federated", "联邦"),
        "federated, recalibrated" => both("Federated, recalibrated locally", "联邦（本地重校准）"),
        ADAPTED => both("Federated, adapted by each party", "联邦（各方本地适配）"),
        "pooled" => both("Pooled (all rows in one place)", "集中（全部数据）"),
        "mean of scores" => both("Mean of the parties' own scores", "各方得分平均"),
        _ => {
            let id = name.strip_suffix(" alone").unwrap_or(name);
            match parties.iter().find(|p| p.party.as_str() == id) {
                Some(facts) => {
                    let name = party(facts);
                    let zh = if name.zh.is_empty() { "单独".to_owned() } else { format!("{}单独", name.zh) };
                    both(format!("{} alone", name.en), zh)
                }
                None => both(name, ""),
            }
        }
    }
}

/// Terms that are explained at the end of a report, with the explanation.
pub(super) const GLOSSARY: &[(Term, &str, &str)] = &[
    (
        terms::WEIGHT_OF_EVIDENCE,
        "Logarithm of the share of all goods in a bin over the share of all bads in it. Positive: better than average.",
        "分箱内好客户占比与坏客户占比之比的对数，正值表示优于平均。",
    ),
    (
        terms::INFORMATION_VALUE,
        "How well a variable separates good from bad: below 0.02 hardly, 0.1 to 0.3 medium, above 0.5 suspiciously well.",
        "变量区分好坏的能力：低于 0.02 几乎没有，0.1–0.3 中等，高于 0.5 需排查泄漏。",
    ),
    (
        terms::AUC,
        "Chance that a random good firm scores above a random bad one. 0.5 is guessing, 1 is perfect.",
        "随机抽取的好客户得分高于坏客户的概率，0.5 为随机，1 为完美。",
    ),
    (
        terms::KS,
        "Largest distance between the cumulative shares of good and bad firms along the score.",
        "好、坏客户累计占比之间的最大差距。",
    ),
    (terms::GINI, "2 × AUC − 1.", "2 × AUC − 1。"),
    (
        terms::BRIER,
        "Mean squared difference between the predicted probability and the outcome. Lower is better.",
        "预测概率与实际结果之差的平方均值，越低越好。",
    ),
    (
        terms::CALIBRATION,
        "Whether, among firms with a predicted 10 %, one in ten turns bad.",
        "预测违约概率与实际坏账率是否一致。",
    ),
    (
        terms::STABILITY_INDEX,
        "Distance between two score distributions: below 0.1 stable, above 0.25 shifted.",
        "两个得分分布的差异：低于 0.1 稳定，高于 0.25 显著偏移。",
    ),
    (
        terms::VARIANCE_INFLATION,
        "How much correlation with other variables widens a coefficient's standard error. Above 5: look closer.",
        "变量间相关性使系数方差放大的倍数，高于 5 需关注。",
    ),
    (terms::LOG_ODDS, "Logarithm of goods per bad. 0 is one to one.", "好坏比的对数，0 表示一比一。"),
    (terms::POINTS_TO_DOUBLE, "Points that double the number of goods per bad.", "好坏比翻倍所需的分值。"),
    (
        terms::PROBABILITY_OF_DEFAULT,
        "Predicted chance that a firm turns bad, corrected for the bad rate of the population if one is given.",
        "企业变坏的预测概率；如给定总体坏账率，则据此校正。",
    ),
    (
        terms::SECURE_SUM,
        "Adding encrypted vectors so that only the sum of all of them can be opened.",
        "对密文向量求和，只能打开总和。",
    ),
    (terms::PARTICIPANT, "An institution that holds rows and never sends them.", "持有数据且从不发送数据行的机构。"),
    (
        terms::COORDINATOR,
        "Schedules, relays and adds ciphertexts; holds no key that opens a contribution.",
        "负责调度、转发并对密文求和，不持有可打开单个贡献的密钥。",
    ),
    (terms::ROUND, "One secure sum from its announcement to its opening.", "一次安全求和，从发起到打开总和。"),
];
