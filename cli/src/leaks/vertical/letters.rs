//! Every kind of announcement and letter, how many there are, and what each tells whom.

use haihe_protocol::vertical::work::LetterKind;

use super::{SaidLeak, Scene, note};
use crate::report::data::Note;

/// All kinds, those with a count of 0 too.
pub(super) fn leaks(scene: &Scene<'_>) -> Vec<SaidLeak> {
    let mut all = vec![announcement(scene)];
    all.extend(LetterKind::ALL.iter().map(|kind| letter(scene, *kind)));
    all.push(result(scene));
    all
}

/// How many letters of a kind there are. N parties, k feature holders, T passes, R reviews.
fn count(scene: &Scene<'_>, kind: LetterKind) -> u64 {
    let (k, passes) = (scene.numbers.feature_holders, scene.numbers.passes);
    let (n, learning) = (k + 1, u64::from(!scene.scoring));
    let (reviews, refits) = (scene.numbers.reviews, scene.numbers.refits);
    // The first direction of a refit comes with the review, and needs no products; nor does that of a warm start.
    let asked = passes.saturating_sub(refits);
    let multiplied = asked.saturating_sub(u64::from(scene.warm));
    let woe = learning * u64::from(scene.woe);
    match kind {
        LetterKind::PairSeed => k * k.saturating_sub(1) / 2,
        LetterKind::Points => n * (n - 1),
        // The comparator's own one stays with it, of both kinds.
        LetterKind::Tags => n - 1,
        LetterKind::Positions => (n - 1) + n * (n - 1),
        LetterKind::Opening => learning,
        LetterKind::Counts | LetterKind::Binned => woe * k,
        LetterKind::Ask => learning * (asked + reviews),
        LetterKind::Products | LetterKind::Opened => learning * k * multiplied,
        LetterKind::Masked => learning * k * asked,
        LetterKind::Reviewed => learning * k * reviews,
        LetterKind::PartialScores => k,
    }
}

/// Exchanges of the job, the last one included: alignment, then the label holder and the others in turn.
fn exchanges(scene: &Scene<'_>) -> u64 {
    let align = 1 + 2 * (scene.numbers.feature_holders + 1);
    let n = scene.numbers;
    let passes = (4 * n.passes + 2 * n.reviews).saturating_sub(2 * u64::from(scene.warm) + 4 * n.refits);
    if scene.scoring { align + 2 } else { align + 2 + passes + 2 * u64::from(scene.woe) + 1 }
}

fn announcement(scene: &Scene<'_>) -> SaidLeak {
    let n = scene.numbers.feature_holders + 1;
    SaidLeak {
        kind: "Announcement".to_owned(),
        name: note("announcement, and head of a parcel", "公告与包裹头"),
        route: note("each party → all, the coordinator too", "各方 → 全体（含协调方）"),
        count: n * exchanges(scene),
        receiver: note(
            format!(
                "How many firms each of the {n} parties brings, and a commitment to their codes; later the step in words, with the number of common firms and the loss of each pass; for whom letters are and how long they are."
            ),
            format!("{n} 方各自的企业数及对其代码的承诺；之后为步骤名称、共有企业数与每轮损失；信件的收件方与长度。"),
        ),
        outsider: note("The same: announcements are for everybody.", "同上：公告面向所有人。"),
        protected_by: note(
            "The commitment is salted: codes cannot be tried against it. All heads are signed and chained.",
            "承诺已加盐，无法以代码逐一试探。包裹头均已签名并逐次链接。",
        ),
    }
}

fn result(scene: &Scene<'_>) -> SaidLeak {
    let (receiver_en, receiver_zh) = if scene.scoring {
        ("How many firms were asked for and scored, and without whom.", "请求与完成评分的企业数，以及缺席方。")
    } else {
        (
            "Number of common, training and bad firms; loss of each pass; columns in use of each party; how many columns each review left out, of all parties together; AUC, KS and Brier score of the label holder alone and of all together, on training and test firms. No coefficient, no column.",
            "共有、训练与坏客户企业数；每轮损失；各方启用列数；每次符号复核剔除的列数（各方合计）；标签方单独与联合的 AUC、KS、Brier（训练与测试）。不含系数与列。",
        )
    };
    SaidLeak {
        kind: "Result".to_owned(),
        name: note("public result", "公开结果"),
        route: note(
            format!("{} → all, the coordinator too", scene.label_holder),
            format!("{} → 全体（含协调方）", scene.label_holder),
        ),
        count: 1,
        receiver: note(receiver_en, receiver_zh),
        outsider: note("The same.", "同上。"),
        protected_by: note(
            "The label holder computes it alone: the others take its word. Coefficients stay with their owners, scores of firms with the label holder.",
            "由标签方单独计算，其余各方以其所述为准。系数留在各自持有方，企业得分留在标签方。",
        ),
    }
}

fn letter(scene: &Scene<'_>, kind: LetterKind) -> SaidLeak {
    let (name, route, [receiver, protected_by]) = match kind {
        LetterKind::PairSeed => pair_seed(),
        LetterKind::Points => points(scene),
        LetterKind::Tags => tags(scene),
        LetterKind::Positions => positions(scene),
        LetterKind::Opening => opening(scene),
        LetterKind::Counts => counts(scene),
        LetterKind::Binned => binned(scene),
        LetterKind::Ask => ask(scene),
        LetterKind::Products => products(scene),
        LetterKind::Opened => opened(scene),
        LetterKind::Masked => masked(scene),
        LetterKind::Reviewed => reviewed(scene),
        LetterKind::PartialScores => partial_scores(scene),
    };
    let outsider = match kind {
        LetterKind::Points | LetterKind::Tags => {
            note("Its length: the announced number of firms.", "其长度：即已公告的企业数。")
        }
        LetterKind::Positions => note("Its length: the number of common firms.", "其长度：共有企业数。"),
        LetterKind::Counts | LetterKind::Products | LetterKind::Binned => {
            note("Its length: roughly the number of columns.", "其长度：大致列数。")
        }
        LetterKind::PairSeed | LetterKind::Opened => note("Its length, which is no secret.", "其长度（非秘密）。"),
        _ => note("Its length: the number of training or common firms.", "其长度：训练或共有企业数。"),
    };
    SaidLeak { kind: format!("{kind:?}"), name, route, count: count(scene, kind), receiver, outsider, protected_by }
}

type Words = (Note, Note, [Note; 2]);

fn to_label_holder(scene: &Scene<'_>) -> Note {
    note(format!("each feature holder → {}", scene.label_holder), format!("各特征方 → {}", scene.label_holder))
}

fn to_holders(scene: &Scene<'_>) -> Note {
    note(format!("{} → feature holders", scene.label_holder), format!("{} → 特征方", scene.label_holder))
}

fn pair_seed() -> Words {
    (
        note("seed of a pair", "成对种子"),
        note("feature holder → feature holder", "特征方 → 特征方"),
        [
            note("A random seed; nothing about data.", "随机种子，与数据无关。"),
            note(
                "Sealed. Who has the seeds of a holder with all others takes the masks off its scores.",
                "已密封。掌握某方与其余各方全部种子者可去除其得分掩码。",
            ),
        ],
    )
}

fn points(scene: &Scene<'_>) -> Words {
    let firms = scene.numbers.feature_holders + 1;
    (
        note("points of an alignment", "对齐点集"),
        note("each party → the next", "各方 → 下一方"),
        [
            note(
                "As many random-looking points as the set's owner announced firms. Equal firms of two sets do not look equal.",
                "与该方公告企业数相等的随机状点；两集合中的相同企业看起来并不相同。",
            ),
            note(
                format!(
                    "Decisional Diffie-Hellman in ristretto255: each set is under the secret exponents of all that had it, and shuffled by each; codes of a registry cannot be tried without them. A party that brings firms it does not have learns which of them are common to all {firms}: sizes are capped, sets committed to, {} common firms are the minimum.",
                    scene.minimum
                ),
                format!(
                    "ristretto255 上的 DDH 假设：每个集合都在经手各方的秘密指数之下并逐方打乱，没有指数便无法以名录代码试探。若某方提交并不持有的企业，可得知其中哪些为全部 {firms} 方共有：故限制规模、事先承诺，且共有企业不少于 {}。",
                    scene.minimum
                ),
            ),
        ],
    )
}

fn tags(scene: &Scene<'_>) -> Words {
    let (more_en, more_zh) = match scene.numbers.intersections {
        0 | 1 => (String::new(), String::new()),
        n => (
            format!(
                " It can count all {n} intersections of two or more sets: how many firms any selection of parties shares."
            ),
            format!("可统计全部 {n} 个多方交集的规模：任意若干方共有多少企业。"),
        ),
    };
    (
        note("tags of an alignment", "对齐标签"),
        note(format!("each party → {}", scene.label_holder), format!("各方 → {}", scene.label_holder)),
        [
            note(
                format!("Which tags are in which sets.{more_en} Not of which firms, not even of its own."),
                format!("哪些标签属于哪些集合。{more_zh}不知对应哪些企业，包括自己的企业。"),
            ),
            note(
                "Every set was shuffled and raised by all parties; one honest party suffices.",
                "每个集合均经各方打乱与乘幂，一方诚实即足够。",
            ),
        ],
    )
}

fn positions(scene: &Scene<'_>) -> Words {
    let c = scene.numbers.common;
    (
        note("positions of common firms", "共有企业位置"),
        note("back the way that each set came", "沿各集合来路返回"),
        [
            note(
                format!(
                    "Which of its own firms are common to all: {c}. On the way, random positions in others' shuffled sets, which show {c} only."
                ),
                format!("自身企业中哪些为各方共有：{c} 家。途中仅见他方打乱集合的随机位置，只透露数量 {c}。"),
            ),
            note(
                "Every hop undoes its own shuffle. A label holder that lies about positions makes parties use rows that do not belong together: nobody notices, and nothing is read by it.",
                "每跳仅还原自身的打乱。若标签方谎报位置，各方会使用不匹配的行：无人察觉，但它也读不到内容。",
            ),
        ],
    )
}

fn opening(scene: &Scene<'_>) -> Words {
    let n = scene.numbers;
    let (what_en, what_zh) =
        if scene.woe { ("encrypted labels", "加密标签") } else { ("encrypted residuals", "加密残差") };
    (
        note("opening", "开场信"),
        to_holders(scene),
        [
            note(
                format!(
                    "Which of the {} common firms train ({}) and which test the model; a public key; {what_en}.",
                    n.common, n.training
                ),
                format!("{} 家共有企业中哪些用于训练（{} 家）、哪些用于测试；公钥；{what_zh}。", n.common, n.training),
            ),
            note(
                "Ring-LWE hides the ciphertexts. A split that depends on the labels would tell them: it must be drawn without looking at them.",
                "环上 LWE 隐藏密文。若划分依赖标签则会泄露标签：划分须与标签无关。",
            ),
        ],
    )
}

fn counts(scene: &Scene<'_>) -> Words {
    let bins = scene.numbers.fine_bins.unwrap_or(0);
    (
        note("counts per fine bin", "细分箱计数"),
        to_label_holder(scene),
        [
            note(
                format!(
                    "Of each column, without its name and in the holder's order: firms and bad firms in each of up to {bins} fine bins, with no minimum. So how many values each column has, how many are missing, and which column separates how well."
                ),
                format!(
                    "每列（无列名，按持有方顺序）至多 {bins} 个细箱各自的企业数与坏客户数，不设最小值；由此得知各列取值数、缺失数及区分能力。"
                ),
            ),
            note(
                "Cut points and names stay with their owner; who is in a bin is hidden by ring-LWE and 40 bits of flooding.",
                "切点与列名留在持有方；箱内是谁由环上 LWE 与 40 位淹没噪声隐藏。",
            ),
        ],
    )
}

fn binned(scene: &Scene<'_>) -> Words {
    let (goods, bads) = scene.bins;
    (
        note("merged bins", "合并分箱"),
        to_holders(scene),
        [
            note(
                format!(
                    "Goods and bads in bins of its own columns, each at least {goods} goods and {bads} bads; all goods and all bads. It knows who is in a bin: so the bad rate of groups of named firms."
                ),
                format!(
                    "本方各列分箱的好、坏客户数（每箱至少 {goods} 好 {bads} 坏）及总数。持有方知道箱内是哪些企业，故得知具名企业群的坏账率。"
                ),
            ),
            note(
                "The minimum only. Two columns whose bins differ by one firm give that firm's label by subtraction: an honest holder has none such by design, a dishonest one can make them up.",
                "仅有最小值约束。若两列分箱仅差一家企业，相减即得其标签：诚实方不会故意如此，不诚实方可伪造。",
            ),
        ],
    )
}

fn ask(scene: &Scene<'_>) -> Words {
    let t = scene.numbers.passes;
    (
        note("combination and encrypted residuals", "组合系数与加密残差"),
        to_holders(scene),
        [
            note(
                format!(
                    "{t} times: how far to go along each direction, the mean curvature of the loss (and so roughly how many firms are still undecided), ciphertexts. With the first pass these come in an earlier letter."
                ),
                format!(
                    "{t} 次：沿各方向的步长、损失平均曲率（大致反映仍难判定的企业比例）、密文。首轮内容随前一封信发出。"
                ),
            ),
            note(
                "Ring-LWE hides the residuals, each vector under a context of its own.",
                "环上 LWE 隐藏残差，每个向量使用独立上下文。",
            ),
        ],
    )
}

fn products(scene: &Scene<'_>) -> Words {
    (
        note("encrypted products, masked", "加密且掩码的内积"),
        to_label_holder(scene),
        [
            note("How many columns the holder uses; else uniform numbers.", "该方启用列数；此外仅为均匀随机数。"),
            note(
                "A mask uniform modulo 2^51 on each product; a fresh encryption of zero and at least 40 bits of flooding on what a ciphertext says about the columns. A label holder whose public key is no ring-LWE sample voids the encryption of zero: no check can tell.",
                "每个内积加模 2^51 的均匀掩码；密文另加新的零加密与至少 40 位淹没。若标签方公钥并非环上 LWE 样本，零加密即失效，且无法检验。",
            ),
        ],
    )
}

fn opened(scene: &Scene<'_>) -> Words {
    let t = scene.numbers.passes;
    (
        note("decrypted products, still masked", "解密后仍带掩码的内积"),
        to_holders(scene),
        [
            note(
                format!(
                    "Its own gradient, a number per column, in each of {t} passes: how its columns go together with what is still unexplained of the labels. Estimates of labels from it are no better than a linear model of its own columns."
                ),
                format!(
                    "{t} 轮中每轮得到自身梯度（每列一个数）：本方各列与标签未解释部分的关系。由此估计标签不优于仅用自身各列的线性模型。"
                ),
            ),
            note(
                "Only if the columns are real: a holder that enters a column of its own making (1 for one firm, 0 for all others) reads that firm's residual, whose sign is the label. One firm per column and pass; nobody notices.",
                "前提是列真实：若某方伪造一列（某企业为 1、其余为 0），即可读到该企业残差，其符号即标签。每列每轮一家，无人察觉。",
            ),
        ],
    )
}

fn masked(scene: &Scene<'_>) -> Words {
    let (n, t) = (scene.numbers, scene.numbers.passes);
    let name = note("scores of a direction, and scalars", "方向得分与标量");
    let scalars_en = "products of directions and the squared gradient";
    let Some(sole) = scene.sole() else {
        let k = n.feature_holders;
        return (
            name,
            to_label_holder(scene),
            [
                note(
                    format!(
                        "In each of {t} passes the sum over the {k} feature holders of one score per training firm ({}), and of {scalars_en}. The sums span {t} of the {} columns' dimensions together.",
                        n.training, n.feature_columns
                    ),
                    format!(
                        "{t} 轮中每轮得到 {k} 个特征方对每家训练企业（{} 家）得分之和，以及方向内积与梯度平方之和。各和张成 {} 列空间中的 {t} 维。",
                        n.training, n.feature_columns
                    ),
                ),
                note(
                    "Pairwise masks that cancel in the sum over all. All feature holders but one with the label holder take them off.",
                    "成对掩码仅在全体之和中抵消。标签方与除一方外的全部特征方合谋即可去除。",
                ),
            ],
        );
    };
    let columns = n.feature_columns;
    let words = if scene.woe {
        (
            " Weights of evidence have few values: two firms with equal scores are in the same bins of all columns.",
            "证据权重取值少：得分相同的两家企业在各列分箱均相同。",
        )
    } else {
        ("", "")
    };
    (
        name,
        to_label_holder(scene),
        [
            note(
                format!(
                    "In each of {t} passes {sole}'s score of every training firm ({}), and its {scalars_en}: {t} combinations of its {columns} columns. With as many passes as columns these span the columns, and as many known firms as passes give all values of all firms.{}",
                    n.training, words.0
                ),
                format!(
                    "{t} 轮中每轮得到 {sole} 对每家训练企业（{} 家）的得分及其方向内积与梯度平方：即其 {columns} 列的 {t} 个组合。若轮数等于列数，则张成全部列空间，已知若干企业取值即可推得全部。{}",
                    n.training, words.1
                ),
            ),
            match n.refits {
                0 => note(
                    format!(
                        "No mask: {sole} is alone. It sends at most {} directions, fewer than it has columns, and refuses more.",
                        columns.saturating_sub(1).max(1)
                    ),
                    format!(
                        "无掩码：{sole} 是唯一特征方。它至多发送 {} 个方向（少于列数），超出即拒绝。",
                        columns.saturating_sub(1).max(1)
                    ),
                ),
                _ => note(
                    format!(
                        "No mask: {sole} is alone. It sends fewer directions than the columns that it began with, after a review fewer than it has left, and refuses more."
                    ),
                    format!(
                        "无掩码：{sole} 是唯一特征方。它发送的方向少于最初列数，复核之后再发送的少于所余列数，超出即拒绝。"
                    ),
                ),
            },
        ],
    )
}

fn reviewed(scene: &Scene<'_>) -> Words {
    let (n, r) = (scene.numbers, scene.numbers.reviews);
    let (whose_en, whose_zh) = match scene.sole() {
        Some(sole) => (
            format!(
                "if it is not 0, {sole}'s score of every training firm with the columns that stay: one of the combinations that are counted as passes"
            ),
            format!("若不为 0，则另有 {sole} 以保留列对每家训练企业的得分，计入训练轮次的组合之一"),
        ),
        None => (
            format!(
                "the sum over the {} feature holders of one score per training firm with the columns that stay, which counts as a pass if any column was left out",
                n.feature_holders
            ),
            format!("{} 个特征方以保留列对每家训练企业得分之和；若有列被剔除则计为一轮", n.feature_holders),
        ),
    };
    (
        note("review of signs", "符号复核"),
        to_label_holder(scene),
        [
            note(
                format!(
                    "In each of {r} reviews how many of the holder's columns contradict their weight of evidence and are left out: a number, not which; and {whose_en}."
                ),
                format!("{r} 次复核中每次得知该方有几列与证据权重方向相反而被剔除（仅数量，不知哪些列）；{whose_zh}。"),
            ),
            note(
                "The number would show in the next products anyway. The scores have pairwise masks where there are two feature holders or more. A sole holder counts its scores among the directions that it may send.",
                "该数量本会在下一轮内积中显现。两个及以上特征方时得分有成对掩码；唯一特征方将其计入可发送方向数。",
            ),
        ],
    )
}

fn partial_scores(scene: &Scene<'_>) -> Words {
    let c = scene.numbers.common;
    let (whose_en, whose_zh) = match scene.sole() {
        Some(sole) => (
            format!("{sole}'s partial score of each of the {c} common firms"),
            format!("{sole} 对 {c} 家共有企业的部分得分"),
        ),
        None => {
            let k = scene.numbers.feature_holders;
            (
                format!("The sum of the {k} feature holders' partial scores of each of the {c} common firms"),
                format!("{k} 个特征方对 {c} 家共有企业部分得分之和"),
            )
        }
    };
    (
        note("partial scores", "部分得分"),
        to_label_holder(scene),
        [
            note(
                format!(
                    "{whose_en}, test firms too; and of each holder, in the clear, its mean partial score over the training firms, its number of columns, and where coefficients were reviewed, how many still contradict."
                ),
                format!(
                    "{whose_zh}（含测试企业）；以及每个特征方明文的训练企业平均部分得分、列数，及复核后仍与证据权重方向相反的列数。"
                ),
            ),
            note(
                "Pairwise masks, where there are two feature holders or more. The mean is told so that firms can be scored when a holder is away.",
                "两个及以上特征方时有成对掩码。公布平均值是为了在某方缺席时仍可评分。",
            ),
        ],
    )
}
