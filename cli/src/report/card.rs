//! The model card: one page of Markdown that travels with the scorecard.

use super::{
    data::Report,
    format::{fixed, percent},
};

/// The card of a report, English and Chinese. The same report always gives the same text.
pub fn model_card(report: &Report) -> String {
    let (result, evaluation) = (&report.result, &report.result.evaluation);
    let rows = |h: &haihe_models::metrics::ScoreHistogram| {
        let bad: f64 = h.bad.iter().sum();
        let all = bad + h.good.iter().sum::<f64>();
        format!("{all:.0} firms, {} bad", percent(bad / all.max(1.0), 1))
    };
    let ranking = evaluation.test.ranking.as_ref();
    let figure = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| fixed(v, 4));
    let [privacy, privacy_zh] = match &result.privacy {
        Some(spent) => spent.statement(),
        None => [
            "No noise was added: every sum is exact. What protects a single firm is that sums are over all parties and that \
             no row left any of them; this is no guarantee of differential privacy."
                .to_owned(),
            "未加噪声：总和均为精确值。对单个企业的保护仅在于总和包含各方数据且数据行从未离开参与方；这不构成差分隐私保证。".to_owned(),
        ],
    };
    let parties: Vec<&str> = report.parties.iter().map(|p| p.party.as_str()).collect();
    let variables: Vec<&str> = result.scorecard.variables.iter().map(|v| v.column()).collect();
    format!(
        "# Model card · 模型卡: {name}\n\n\
         | | |\n|---|---|\n\
         | job 任务 | `{job}` |\n\
         | opened 开始 | {opened} |\n\
         | learned by 参与方 | {parties} (federation {federation}) |\n\
         | model 模型 | credit scorecard, {count} variables: {variables} |\n\
         | training sample 训练样本 | {train} |\n\
         | test sample 测试样本 | {test} |\n\
         | AUC, KS on test 测试 | {auc}, {ks} |\n\
         | sums opened 打开的总和 | {rounds}, over at least {least} parties each; scheme {scheme} |\n\n\
         ## Privacy · 隐私\n\n{privacy}\n\n{privacy_zh}\n\n\
         Who could infer what, alone or together: `leak-report.json`. 谁能推知什么：见 `leak-report.json`。\n\n\
         ## Limits · 适用范围\n\n\
         The figures hold for firms like those of the test sample. A scorecard describes groups; it is no proof about a firm. \
         Probabilities are those of the population only if the job gave its bad rate. \
         指标仅适用于与测试样本相似的企业；评分卡描述群体，不能证明单个企业的情况。\n",
        name = report.name,
        job = report.job,
        opened = report.opened,
        parties = parties.join(", "),
        federation = report.federation,
        count = variables.len(),
        variables = variables.join(", "),
        train = rows(&evaluation.train.histogram),
        test = rows(&evaluation.test.histogram),
        auc = figure(ranking.map(|r| r.auc)),
        ks = figure(ranking.map(|r| r.ks)),
        rounds = report.rounds.len(),
        least = report.committee.minimum_contributors,
        scheme = report.scheme,
    )
}
