//! What is said of jobs that train a network or an anomaly model: their sums hold other things than a scorecard's.

use haihe_models::network::EncodingKind;
use haihe_protocol::horizontal::{anomaly::AnomalyOptions, network::NetworkOptions};

use super::{Learns, Scene, and, note};
use crate::report::data::Note;

/// What a class of messages tells, where it differs from a scorecard's.
pub(super) struct Told {
    pub(super) receiver: Note,
    pub(super) protected_by: Option<Note>,
}

/// What a class of messages tells in such a job; `None` where the job makes no difference.
pub(super) fn told(class: &str, learns: Learns<'_>) -> Option<Told> {
    let receiver = match (class, learns, learns.training()) {
        (_, Learns::Scorecard, _) => return None,
        ("round (M1)", _, Some(_)) => note(
            "What earlier sums led to: grids, the shape of the network, the bounds of the updates, and a digest of the present parameters. Never the parameters: every participant derives them itself.",
            "此前总和所得：网格、网络结构、更新的界与当前参数的摘要；从不发送参数本身，各参与方自行推算。",
        ),
        ("round (M1)", ..) => note(
            "What earlier sums led to: grids, how many counts are asked for, where warnings begin, and a digest of the model.",
            "此前总和所得：网格、所需计数个数、预警起点与模型摘要。",
        ),
        ("closed round (M5)", _, training) => {
            let (what, what_zh) = opened(learns, training.is_some());
            note(
                format!(
                    "Each opened sum, number by number: {what}. Every participant thus sees all that the coordinator sees of sums, and can subtract its own part."
                ),
                format!("每个打开的总和的全部数值：{what_zh}。参与方因此看到协调方所见的全部总和，并可减去自身部分。"),
            )
        }
        ("job closed", ..) => {
            let (what, what_zh) = read(learns);
            note(
                format!("{}, the figures of every round, and the evaluation of all parties together.", capital(what)),
                format!("{what_zh}、各轮指标与全体合计的评估。"),
            )
        }
        ("journal", ..) => note(
            "Every event: who did what when, tasks, digests of sums, and what the sums led to (losses, figures, in the end the model). No ciphertext, no sum as such.",
            "全部事件：谁何时做了什么、任务、总和摘要及其所得（损失、指标，最后是模型）；不含密文，也不含总和本身。",
        ),
        _ => return None,
    };
    let protected_by = (class == "job closed").then(|| {
        note(
            "Only to parties of the session; each checks that it follows from the checked sums. Nothing in it is rounded off or left out: a model can remember a firm that is unlike all others.",
            "仅发给本会话参与方；各方核验其确由已核验总和得出。其中没有舍去任何内容：模型可能记住与众不同的个别企业。",
        )
    });
    Some(Told { receiver, protected_by })
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|c| c.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// What the opened sums of a job are.
fn opened(learns: Learns<'_>, network: bool) -> (&'static str, &'static str) {
    match learns {
        _ if network => (
            "counts per fine cell; in every training round the sum of the parties' weighted model updates, tensor by tensor, with losses and how large the updates were; score histograms",
            "细格计数；每个训练轮中各方加权模型更新之和（逐张量）、损失与更新幅度；得分直方图",
        ),
        Learns::Anomaly(AnomalyOptions { forest: Some(_), .. }) => (
            "counts per fine cell, rows of the subsamples per node of each tree and group of cells, score histograms",
            "细格计数、各树各节点在各组细格的子样本行数、得分直方图",
        ),
        _ => ("counts per fine cell, score histograms", "细格计数、得分直方图"),
    }
}

/// What the result is, for a sentence.
pub(super) fn read(learns: Learns<'_>) -> (&'static str, &'static str) {
    match learns {
        Learns::Scorecard => ("the scorecard with its bin counts", "评分卡及分箱计数"),
        Learns::Network(_) => ("the network with the scales of its inputs", "网络及其输入刻度"),
        Learns::Anomaly(AnomalyOptions { tails: Some(_), .. }) => {
            ("the tail model, which is the counts per fine cell themselves", "尾部模型（即细格计数本身）")
        }
        Learns::Anomaly(AnomalyOptions { forest: Some(_), .. }) => {
            ("the forest with the splits and rows of its nodes", "孤立森林及其节点的切分与行数")
        }
        Learns::Anomaly(_) => {
            ("the autoencoder with the scales of its inputs and the warning levels", "自编码器、输入刻度与预警起点")
        }
    }
}

/// What a single contribution holds beside counts and histograms.
pub(super) fn parts(learns: Learns<'_>) -> (&'static str, &'static str) {
    match learns {
        Learns::Scorecard => ("gradients", "梯度"),
        Learns::Anomaly(AnomalyOptions { autoencoder: None, forest: Some(_), .. }) => ("rows per node", "节点行数"),
        Learns::Anomaly(AnomalyOptions { autoencoder: None, .. }) => ("warnings", "预警数"),
        Learns::Network(_) | Learns::Anomaly(_) => ("model updates", "模型更新"),
    }
}

/// What a single party's update can tell.
pub(super) fn inversion() -> Note {
    note(
        "From a party's update, rows can be reconstructed in part, the better the fewer rows and steps lie behind it.",
        "由单方的更新可部分重构数据行；其背后的行数与步数越少，重构越准。",
    )
}

/// Only for jobs that give every party slots of its own.
pub(super) fn own_slots(learns: Learns<'_>) -> Option<Note> {
    match learns {
        Learns::Scorecard => None,
        Learns::Network(_) => Some(note(
            "This job gives each party slots of its own in the evaluation: the score histograms of its test rows, goods and bads apart, under the shared network, under one that it trained alone and under its own version, become known to all. Each party's policy allowed it.",
            "本任务在评估中为每一方设独立槽位：其测试样本在共享网络、单独训练的网络及自有版本下的得分直方图（好坏分列）对全体公开；各方策略均已允许。",
        )),
        Learns::Anomaly(_) => Some(note(
            "This job gives each party slots of its own in the evaluation: the histogram of its test rows' anomaly scores, goods and bads apart, becomes known to all. Each party's policy allowed it.",
            "本任务在评估中为每一方设独立槽位：其测试样本的异常得分直方图（好坏分列）对全体公开；各方策略均已允许。",
        )),
    }
}

/// What is special about the training of a network.
pub(super) fn remarks(scene: &Scene<'_>) -> Vec<Note> {
    let Some(options) = scene.learns.training() else { return Vec::new() };
    let parties = scene.parties.len() as u32;
    let (trained, buckets) = (options.sampled(parties), options.robust.as_ref().map_or(1, |r| r.buckets));
    let mut remarks = Vec::new();
    if trained < parties {
        remarks.push(note(
            format!("In each round {trained} of the {parties} parties train, drawn in public; the others send zeros. The sum of updates is that of these {trained}, and any {} of them obtain the last one's by subtraction.", trained - 1),
            format!("每轮公开抽取 {parties} 方中的 {trained} 方训练，其余发送零；更新之和即此 {trained} 方之和，其中任意 {} 方相减即得最后一方的更新。", trained - 1),
        ));
    }
    if buckets > 1 {
        let least = trained / buckets;
        remarks.push(note(
            format!("Updates are summed in {buckets} buckets, so that a robust rule can compare them: everybody sees a sum over {least} or more parties for each bucket, not over all {trained}."),
            format!("更新分 {buckets} 组求和以供稳健聚合：全体看到的是每组至少 {least} 方之和，而非全部 {trained} 方之和。"),
        ));
    }
    if options.personal.head {
        remarks.push(note(
            "The last layer stays at each party: it is in no sum and in no result.",
            "最后一层留在各方：不进入任何总和与结果。",
        ));
    }
    if options.personal.fine_tune.is_some() {
        remarks.push(note(
            "What a party trains after the last round stays with it.",
            "最后一轮之后各方自行微调所得留在本方。",
        ));
    }
    remarks
}

/// What the sums of a step hold, and what a reader can infer.
pub(super) fn words(step: &str, scene: &Scene<'_>) -> (Note, Note) {
    match (step, scene.learns) {
        ("profile", _) => profile(),
        ("label_counts", learns) => label_counts(learns),
        ("train", learns) => train(scene, learns),
        ("grow", Learns::Anomaly(options)) => grow(options),
        ("evaluation", learns) => evaluation(learns),
        ("drivers", _) => drivers(),
        _ => (note(format!("The sums of the step {step}."), format!("步骤 {step} 的总和。")), note("", "")),
    }
}

fn profile() -> (Note, Note) {
    (
        note(
            "Training rows, bad rows, test rows; per numeric column, counts on a coarse grid.",
            "训练行数、坏客户数、测试行数；每个数值列的粗网格计数。",
        ),
        note(
            "How large the parties are together, their common bad rate, and the rough range of each column. A coarse cell with one firm says that some firm has such an extreme value.",
            "各方合计规模、总体坏账率、各列大致范围。若某粗格仅一家企业，则说明存在一家取如此极端值的企业。",
        ),
    )
}

fn label_counts(learns: Learns<'_>) -> (Note, Note) {
    let holds = note(
        "Goods and bads per fine cell of each column, and per level.",
        "每列每个细格（及每个取值）的好、坏客户数。",
    );
    let infers = note(
        "A fine cell that holds one bad firm and no good one says: a firm with that value is bad. Who knows a firm's value and that it is a customer here, then knows its label. Fine cells have no minimum of rows.",
        "若某细格仅有一家坏客户，则说明取该值的企业为坏；若有人知道某企业取该值且为本联邦客户，即可得知其标签。细格没有最小行数。",
    );
    let woe = learns.training().filter(|o| o.encoding.kind == EncodingKind::Woe);
    let more = match (learns, woe) {
        (Learns::Anomaly(AnomalyOptions { tails: Some(_), .. }), _) => note(
            "The result is made of these counts, cell by cell: whoever has the model has them.",
            "结果由这些细格计数逐格构成：持有模型者即持有计数。",
        ),
        (_, Some(options)) => {
            let least = options.binning.min_bin_rows;
            note(
                format!("The result holds bins of at least {least} rows with their counts, not the cells under them."),
                format!("结果含至少 {least} 行的分箱及其计数，不含其下的细格。"),
            )
        }
        _ => note(
            "The result holds what follows from them for the inputs, such as cut points and ranges, not the counts of goods and bads per cell.",
            "结果只含由其得出的输入刻度（如切分点与范围），不含各格好坏计数。",
        ),
    };
    (holds, and(infers, &more))
}

fn train(scene: &Scene<'_>, learns: Learns<'_>) -> (Note, Note) {
    let options = learns.training();
    let bits = options.map_or(16, |o| o.rounds.value_bits);
    let (validation, validation_zh) = match learns {
        Learns::Network(_) => {
            ("; goods and bads per cell of the score, of the rows kept for validation", "；验证行在得分各格的好、坏数")
        }
        _ => ("", ""),
    };
    let control =
        options.is_some_and(|o| matches!(o.strategy, haihe_models::network::strategy::Strategy::Scaffold { .. }));
    let (controls, controls_zh) = if control { (" and of its control variates", "及控制变量") } else { ("", "") };
    let holds = note(
        format!(
            "Once per round: the sum of the parties' model updates{controls}, each weighted by its party's share of the rows, {bits} bits a number; the weights, losses, rows kept for validation{validation}; per tensor, how many updates are how large, by octave."
        ),
        format!(
            "每轮一次：各方模型更新{controls_zh}之和（按行数占比加权，每个数 {bits} 位）；权重、损失、验证行数{validation_zh}；各张量更新幅度所在的倍频程计数。"
        ),
    );
    let n = scene.parties.len();
    let infers = note(
        format!(
            "How all parties together move the network: everybody sees that in every round, the coordinator and each of the {n} participants. A firm unlike all others can show in it, and whether a known firm was among the training rows can be guessed better than by chance. Less its own update, a participant has the sum over the other {}. Rounding to {bits} bits is no protection. A lone update in an octave tells that one party's is so large, not whose.",
            n.saturating_sub(1)
        ),
        format!(
            "各方合力如何推动网络：每轮协调方与全部 {n} 个参与方均可见。与众不同的企业可能在其中显现，对某已知企业是否在训练样本中的猜测可优于随机。参与方减去自身更新即得其余 {} 方之和。舍入到 {bits} 位并非保护。某倍频程仅一个更新时，得知有一方更新如此之大，但不知是谁。",
            n.saturating_sub(1)
        ),
    );
    (holds, personal(infers, options))
}

fn personal(infers: Note, options: Option<&NetworkOptions>) -> Note {
    if !options.is_some_and(|o| o.personal.head) {
        return infers;
    }
    and(infers, &note("The last layer of each party is in no sum.", "各方的最后一层不进入任何总和。"))
}

fn grow(options: &AnomalyOptions) -> (Note, Note) {
    let forest = options.forest.unwrap_or_default();
    (
        note(
            format!(
                "Rows of the subsamples, about {} in each of {} trees, per open node and group of cells of a few columns.",
                forest.sample, forest.trees
            ),
            format!(
                "子样本（{} 棵树，每棵约 {} 行）在各未完成节点、若干列的各组细格中的行数。",
                forest.trees, forest.sample
            ),
        ),
        note(
            "Deep nodes hold few rows, down to one: that some firm lies in such ranges of several columns at once. Joint counts have no minimum. Labels are not in these sums. Which rows a tree takes follows from the public seed and a row's place in its party's table.",
            "深层节点行数很少，可至一行：说明某企业在若干列上同时处于这些范围。联合计数没有最小值。这些总和不含标签。某树抽取哪些行取决于公开种子与行在本方表中的位置。",
        ),
    )
}

fn evaluation(learns: Learns<'_>) -> (Note, Note) {
    let holds = match learns {
        Learns::Anomaly(_) => note(
            "Rows per cell of the anomaly score: training rows, and test rows with goods and bads apart.",
            "异常得分各格的行数：训练行，以及好坏分列的测试行。",
        ),
        _ => note(
            "Goods and bads per cell of the score, for training and test rows.",
            "训练与测试行在得分各格的好、坏客户数。",
        ),
    };
    let infers = note(
        "Who can compute a firm's score (everybody with the model and the firm's values) looks up its cell: a cell with one bad firm and no good one tells that firm's label, if it is known to be in the sample.",
        "能计算某企业得分者（持有模型与该企业取值）可查其所在格：若该格仅有一家坏客户，且已知该企业在样本中，则得知其标签。",
    );
    match learns {
        Learns::Anomaly(_) => (
            holds,
            and(
                infers,
                &note(
                    "Cells of anomaly scores are narrow (0.1 %), so that many hold a single firm.",
                    "异常得分的格很窄（0.1 %），许多格仅有一家企业。",
                ),
            ),
        ),
        _ => (holds, infers),
    }
}

fn drivers() -> (Note, Note) {
    (
        note(
            "Test rows with a warning, by level, goods and bads apart; the sum of each column's share in their scores.",
            "各级预警的测试行数（好坏分列）；各列在其得分中占比之和。",
        ),
        note(
            "What makes firms stand out at all parties together, and how often the outcome was bad. Which firms these are stays with their parties. Where few rows carry a warning, the shares are nearly those of single firms.",
            "全体企业因何列而突出，以及其中坏客户的比例。具体是哪些企业仅本方知道。预警行很少时，占比近似个别企业的占比。",
        ),
    )
}
