//! Who learns what by pooling what they know, and what is special about a job.

use super::{Pooling, Scene, Verdict, names, note};
use crate::report::data::Note;

use Verdict::{No, Partly, Yes};

/// In the order of their weight.
pub(super) fn remarks(scene: &Scene<'_>) -> Vec<Note> {
    let (n, mut remarks) = (scene.numbers, Vec::new());
    if let Some(sole) = scene.sole().filter(|_| !scene.scoring) {
        let (t, columns) = (n.passes, n.feature_columns);
        remarks.push(note(
            format!("{sole} is the only feature holder: {} sees its scores unmixed, {t} combinations of its {columns} columns. A second feature holder would mix them.", scene.label_holder),
            format!("{sole} 是唯一特征方：{} 看到其未混合的得分，即 {columns} 列的 {t} 个组合。增加一个特征方即可混合。", scene.label_holder),
        ));
        if columns < 3 {
            remarks.push(note(
                format!("With {columns} columns, one direction tells nearly everything about them."),
                format!("仅 {columns} 列时，一个方向几乎透露其全部信息。"),
            ));
        }
    }
    if scene.sole().is_none() && !scene.scoring && n.passes >= n.feature_columns {
        // Directions before a refit are of columns that were left out, too.
        let (span_en, span_zh) = if n.refits > 0 {
            ("may span all of them, as reviews have left few", "可能张成全部列空间（复核后所余列数较少）")
        } else {
            ("span all of them", "已张成全部列空间")
        };
        remarks.push(note(
            format!(
                "{} passes for {} columns of all feature holders together: the sums {span_en}.",
                n.passes, n.feature_columns
            ),
            format!("{} 轮对应特征方合计 {} 列：各和{span_zh}。", n.passes, n.feature_columns),
        ));
    }
    if scene.batches && !scene.scoring {
        remarks.push(note(
            "This job goes batch by batch: where passes are spoken of, each is one batch, and shows the scores of the batch's firms only, at the present coefficients. Every firm is seen once per epoch.",
            "本任务逐批进行：下文所称每轮为一批，仅显示该批企业在当前系数下的得分；每家企业每个周期出现一次。",
        ));
    }
    remarks.push(note(
        "Everything below assumes that all parties follow the protocol with their true data, unless it says otherwise: proofs against made-up columns are not part of it.",
        "除另有说明，以下均假定各方以真实数据遵守协议；协议不含防止伪造列的证明。",
    ));
    remarks
}

/// Everybody who could look.
pub(super) fn poolings(scene: &Scene<'_>) -> Vec<Pooling> {
    let mut all = vec![coordinator(), label_holder(scene), feature_holder(scene)];
    if !scene.scoring {
        all.push(dishonest_holder(scene));
        all.push(dishonest_label_holder(scene));
    }
    if scene.holders.len() > 1 {
        all.extend([holders_together(scene), all_but_one(scene)]);
    }
    all.push(with_coordinator(scene));
    all.push(repeated(scene));
    all
}

fn entry(key: &str, who: Note, [labels, values, firms]: [Verdict; 3], can: Note, cannot: Note) -> Pooling {
    Pooling { key: key.to_owned(), who, labels, values, firms, can, cannot }
}

fn coordinator() -> Pooling {
    entry(
        "coordinator",
        note("The coordinator alone", "仅协调方"),
        [No, No, No],
        note(
            "Read announcements and the result: numbers of firms, columns in use, loss of each pass, AUC; who writes to whom, when, how much.",
            "读取公告与结果：企业数、启用列数、每轮损失、AUC；谁何时致信于谁及其大小。",
        ),
        note("Open a letter, or change one without being noticed.", "打开信件，或修改信件而不被发现。"),
    )
}

fn label_holder(scene: &Scene<'_>) -> Pooling {
    let n = scene.numbers;
    let (can, values) = match scene.sole() {
        Some(sole) => (
            note(
                format!(
                    "See {} combinations of {sole}'s {} columns for {} training firms and the partial score of all {} common firms; with values of some firms known, estimate those of the others (docs/security/attacks.md has the errors).",
                    n.passes, n.feature_columns, n.training, n.common
                ),
                format!(
                    "看到 {sole} 的 {} 列在 {} 家训练企业上的 {} 个组合及全部 {} 家共有企业的部分得分；若已知部分企业取值，可估计其余（误差见 docs/security/attacks.md）。",
                    n.feature_columns, n.training, n.passes, n.common
                ),
            ),
            Partly,
        ),
        None => (
            note(
                format!(
                    "See {} sums over {} feature holders of combinations of their {} columns, and the sums of their partial scores; the mean partial score of each.",
                    n.passes, n.feature_holders, n.feature_columns
                ),
                format!(
                    "看到 {} 个特征方共 {} 列组合的 {} 个和、部分得分之和，以及每方的平均部分得分。",
                    n.feature_holders, n.feature_columns, n.passes
                ),
            ),
            Partly,
        ),
    };
    let sizes = note("Count how many firms any selection of parties shares.", "统计任意若干方共有多少企业。");
    entry(
        "label_holder",
        note(format!("{}, the label holder, alone", scene.label_holder), format!("标签方 {} 单独", scene.label_holder)),
        [Yes, values, No],
        super::super::and(can, &sizes),
        note(
            "Know names, cut points or coefficients of the others' columns, or which of its other firms they have.",
            "得知他方列的名称、切点、系数，或其其余企业是否为他方所有。",
        ),
    )
}

fn feature_holder(scene: &Scene<'_>) -> Pooling {
    let (can, labels) = if scene.scoring {
        (note("Learn which of its firms were scored.", "得知自身哪些企业被评分。"), No)
    } else {
        (
            note(
                format!(
                    "See its own gradient in {} passes, its own coefficients{}; rank the common firms as well as its own columns can.",
                    scene.numbers.passes,
                    if scene.woe { ", goods and bads of its merged bins" } else { "" }
                ),
                format!(
                    "看到 {} 轮的自身梯度、自身系数{}；按自身各列的能力对共有企业排序。",
                    scene.numbers.passes,
                    if scene.woe { "、合并分箱的好坏数" } else { "" }
                ),
            ),
            Partly,
        )
    };
    entry(
        "feature_holder",
        note("One feature holder alone", "仅一个特征方"),
        [labels, No, No],
        can,
        note(
            "See another party's values or scores, or the label of one firm.",
            "看到他方数值或得分，或单个企业的标签。",
        ),
    )
}

fn dishonest_holder(scene: &Scene<'_>) -> Pooling {
    let most = scene.holders.iter().map(|h| u64::from(scene.numbers.columns[h])).max().unwrap_or(0);
    entry(
        "dishonest_feature_holder",
        note("A feature holder that makes up columns", "伪造列的特征方"),
        [Yes, No, Partly],
        note(
            format!(
                "Read the label of one firm per column and pass, {} in this job, from the sign of its residual{}; learn which of made-up firms all others have.",
                most * scene.numbers.passes,
                if scene.woe { ", or from two columns whose bins differ by it" } else { "" }
            ),
            format!(
                "每列每轮读取一家企业的标签（本任务至多 {} 家），依据残差符号{}；得知所编造企业中哪些为他方共有。",
                most * scene.numbers.passes,
                if scene.woe { "或仅差一家企业的两列分箱" } else { "" }
            ),
        ),
        note(
            "Be noticed by the protocol. Its input commitment and seed make an audit possible; policies limit how many jobs there are.",
            "被协议发现。其输入承诺与种子使事后审计成为可能；各方策略限制任务次数。",
        ),
    )
}

fn dishonest_label_holder(scene: &Scene<'_>) -> Pooling {
    entry(
        "dishonest_label_holder",
        note(
            format!("{}, if it does not follow the protocol", scene.label_holder),
            format!("不遵守协议的标签方 {}", scene.label_holder),
        ),
        [Yes, Partly, Partly],
        note(
            "Send vectors of its choice in place of residuals and so steer directions; send a public key that is no ring-LWE sample, and with it learn equations on the columns from the ciphertexts; give other combinations, and so ask for directions of its choice.",
            "以任意向量代替残差从而操纵方向；发送并非环上 LWE 样本的公钥，从密文得到关于列的方程；给出任意组合从而索取所选方向。",
        ),
        note(
            match scene.sole() {
                Some(sole) => format!("Get more directions from {sole} than it has columns, less one."),
                None => "See the scores of one feature holder apart from the others'.".to_owned(),
            },
            match scene.sole() {
                Some(sole) => format!("从 {sole} 得到不少于其列数的方向。"),
                None => "将某一特征方的得分与其余分开。".to_owned(),
            },
        ),
    )
}

fn holders_together(scene: &Scene<'_>) -> Pooling {
    let all = names(scene.holders);
    entry(
        "all_feature_holders",
        note(format!("{} together", all.en), format!("{} 合谋", all.zh)),
        [if scene.scoring { No } else { Partly }, No, No],
        note(
            "Put their columns, gradients and coefficients together: rank the common firms as a model of all their columns can.",
            "合并各自的列、梯度与系数：按全部列的模型对共有企业排序。",
        ),
        note(
            format!("Read {}'s columns, or labels beyond what their columns predict.", scene.label_holder),
            format!("读取 {} 的列，或超出其列预测能力的标签。", scene.label_holder),
        ),
    )
}

fn all_but_one(scene: &Scene<'_>) -> Pooling {
    let k = scene.holders.len();
    let each: Vec<(Note, &str)> = scene
        .holders
        .iter()
        .map(|left| {
            let some: Vec<_> = scene.holders.iter().filter(|h| *h != left).cloned().collect();
            (names(&some), left.as_str())
        })
        .collect();
    let few = each.len() <= 6;
    let en: Vec<String> =
        each.iter().map(|(some, left)| format!("{} + {} see {left}'s scores", scene.label_holder, some.en)).collect();
    let zh: Vec<String> =
        each.iter().map(|(some, left)| format!("{} + {} 可见 {left} 的得分", scene.label_holder, some.zh)).collect();
    let (named_en, named_zh) = if few {
        (format!(": {}", en.join("; ")), format!("：{}", zh.join("；")))
    } else {
        (String::new(), String::new())
    };
    entry(
        "label_holder_and_all_but_one",
        note(
            format!("{} and {} of {k} feature holders", scene.label_holder, k - 1),
            format!("{} 与 {k} 个特征方中的 {} 个", scene.label_holder, k - 1),
        ),
        [Yes, Partly, Partly],
        note(
            format!(
                "Take off the masks of the last one, and see {} combinations of its columns, as if it were alone{named_en}. No brake on the number of passes holds then. Of its firms they learn sizes of intersections with sets of their choice.",
                scene.numbers.passes
            ),
            format!(
                "去除最后一方的掩码，看到其列的 {} 个组合，如同唯一特征方{named_zh}。此时轮数限制不起作用。对其企业，可得知与任选集合交集的规模。",
                scene.numbers.passes
            ),
        ),
        note(
            "Read its values without knowing some of them, or its column names and cut points.",
            "在不知其部分取值时读取其数值，或得知列名与切点。",
        ),
    )
}

fn with_coordinator(scene: &Scene<'_>) -> Pooling {
    entry(
        "coordinator_and_anyone",
        note("The coordinator with any of these", "协调方与上述任何一方"),
        [if scene.scoring { No } else { Partly }, Partly, No],
        note(
            "Nothing beyond what that party learns without it: the coordinator opens no letter. With a certificate authority that issues false names it could write to a holder as a party that does not exist.",
            "除该方本可得知者外别无所获：协调方不能打开任何信件。若证书机构签发虚假名称，可冒充不存在的参与方致信。",
        ),
        note(
            "Show parties different announcements or letters: heads are signed, and all parties chain the same ones.",
            "向各方展示不同的公告或信件：包裹头已签名，且各方链接同一份。",
        ),
    )
}

fn repeated(scene: &Scene<'_>) -> Pooling {
    entry(
        "jobs_together",
        note("Anybody, from several jobs", "任何一方，综合多个任务"),
        [Partly, Partly, Partly],
        note(
            "Compare jobs that differ in one firm or one column: the differences of counts, gradients and scores are that firm's or column's. Directions of several jobs add up.",
            "比较仅差一家企业或一列的任务：计数、梯度与得分之差即为该企业或该列所致。多个任务的方向会累积。",
        ),
        note(
            format!(
                "Start a job by itself: each party's policy has the last word on every job, {} too.",
                scene.spec.job.name
            ),
            format!("单独发起任务：每个任务（包括 {}）均由各方策略最终决定。", scene.spec.job.name),
        ),
    )
}
