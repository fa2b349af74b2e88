//! Every class of messages, and what it tells whom. A test holds this table against the compiled protobuf descriptor, so
//! that a new message cannot be forgotten.

use std::collections::BTreeMap;

use haihe_simulations::simulation::Traffic;

use super::{Basis, ClassLeak, Scene, and, learning, note};
use crate::report::data::Note;

/// English and Chinese.
type Text = (&'static str, &'static str);

/// A class of messages.
pub(super) struct Class {
    pub(super) name: &'static str,
    name_zh: &'static str,
    /// Its types in `proto/federation/v1`.
    pub(super) messages: &'static [&'static str],
    route: Text,
    receiver: Text,
    outsider: Text,
    protected_by: Text,
    kind: Kind,
}

/// What the texts of a class depend on, and how it is counted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// In the journal, or computed from it.
    Plain,
    /// Holds a vector of one party.
    Vector,
    /// Leads to a sum, or holds one.
    Sum,
    /// Not in the journal.
    Unrecorded,
}

const UP: Text = ("participant → coordinator", "参与方 → 协调方");
const DOWN: Text = ("coordinator → participants", "协调方 → 参与方");
const OPERATOR: Text = ("operator ↔ coordinator", "操作员 ↔ 协调方");
const THAT_IT_PASSES: Text =
    ("That it passes, its size and its time, inside TLS.", "仅知其经过、大小与时间（TLS 之内）。");
const TLS: Text = ("Mutual TLS; the name must be the certificate's.", "双向 TLS；名称须与证书一致。");
const SIGNED: Text = (
    "The sender's signature, by a key that the authority certified; mutual TLS.",
    "发送方以经认证的密钥签名；双向 TLS。",
);

/// All classes, in the order of a job.
pub(super) const CLASSES: &[Class] = &[
    Class {
        name: "follow",
        name_zh: "保持连接",
        messages: &["FollowRequest", "Directive", "Waiting"],
        route: ("participant ↔ coordinator", "参与方 ↔ 协调方"),
        receiver: (
            "The coordinator learns that the participant is there; the participant, what the job waits for and for whom.",
            "协调方得知参与方在线；参与方得知任务在等待什么、等待谁。",
        ),
        outsider: ("Which address is connected to the coordinator, and when.", "哪个地址何时与协调方保持连接。"),
        protected_by: TLS,
        kind: Kind::Unrecorded,
    },
    Class {
        name: "submission",
        name_zh: "提交或取消任务",
        messages: &["SubmitJobRequest", "CancelJobRequest"],
        route: ("operator → coordinator", "操作员 → 协调方"),
        receiver: (
            "The job file: parties, names and levels of columns, options. Nothing about firms.",
            "任务文件：参与方、列名与取值、选项；不涉及企业。",
        ),
        outsider: THAT_IT_PASSES,
        protected_by: (
            "Mutual TLS and the role operator. Nobody signs who submitted.",
            "双向 TLS 与操作员角色；提交者未签名。",
        ),
        kind: Kind::Plain,
    },
    Class {
        name: "job offer",
        name_zh: "任务邀请",
        messages: &["JobOffer"],
        route: ("coordinator → invited parties", "协调方 → 受邀方"),
        receiver: (
            "The job file, when it was opened, and, as the coordinator says, who submitted it.",
            "任务文件、开启时间，以及协调方所称的提交者。",
        ),
        outsider: THAT_IT_PASSES,
        protected_by: (
            "The job id is the digest of file and time; every later signature covers it. Policy and data decide whether to join.",
            "任务编号为文件与时间的摘要，之后每个签名都覆盖它；是否加入由本地策略与数据决定。",
        ),
        kind: Kind::Plain,
    },
    Class {
        name: "join",
        name_zh: "加入",
        messages: &["Join"],
        route: ("participant → coordinator → all participants", "参与方 → 协调方 → 全体参与方"),
        receiver: (
            "This institution takes part; its certificate; a public key for this job. Nothing about firms, not how many it has.",
            "该机构参与、其证书、本任务的公钥；不涉及企业，也不含企业数量。",
        ),
        outsider: THAT_IT_PASSES,
        protected_by: SIGNED,
        kind: Kind::Plain,
    },
    Class {
        name: "decline",
        name_zh: "拒绝",
        messages: &["Decline"],
        route: ("participant → coordinator → operators", "参与方 → 协调方 → 操作员"),
        receiver: (
            "Which kinds of rules of the participant's policy or data stand against the job. No row counts, no values.",
            "因哪类策略或数据规则而拒绝；不含行数与数值。",
        ),
        outsider: ("That it passes; its size hints at the length of the reason.", "仅知其经过；大小透露理由长短。"),
        protected_by: (
            "Short codes only: the figures behind them stay in the participant's own log. Signed.",
            "仅为简短代码，具体数值留在本方日志；已签名。",
        ),
        kind: Kind::Plain,
    },
    Class {
        name: "roster",
        name_zh: "名册",
        messages: &["Roster", "CommitteeRule", "Session"],
        route: DOWN,
        receiver: (
            "Who takes part, with certificates and public keys; the committee rule; random nonces.",
            "参与方及其证书与公钥、委员会规则、随机数。",
        ),
        outsider: ("The size tells how many parties there are.", "大小透露参与方数量。"),
        protected_by: (
            "Each party checks every entry, finds its own unchanged, and all sign one digest.",
            "各方逐项核对，确认自身条目未变，并共同签署同一摘要。",
        ),
        kind: Kind::Plain,
    },
    Class {
        name: "confirmation",
        name_zh: "确认",
        messages: &["Confirmation"],
        route: ("participant → coordinator → all participants", "参与方 → 协调方 → 全体参与方"),
        receiver: (
            "The participant accepts the roster. The nonce in it is random.",
            "该参与方认可名册；其中随机数不含信息。",
        ),
        outsider: THAT_IT_PASSES,
        protected_by: SIGNED,
        kind: Kind::Plain,
    },
    Class {
        name: "check key",
        name_zh: "校验密钥",
        messages: &["SealedCheckKey"],
        route: ("first participant → coordinator → each participant, sealed", "首个参与方 → 协调方 → 各参与方（密封）"),
        receiver: (
            "A random key with which participants check announced sums. It opens no contribution and says nothing about data.",
            "参与方用于核验所公布总和的随机密钥；不能打开任何贡献，与数据无关。",
        ),
        outsider: (
            "The coordinator, who relays it, learns its size, which follows from the number of parties.",
            "转发它的协调方仅知其大小（由参与方数量决定）。",
        ),
        protected_by: (
            "HPKE for each participant, and a signed commitment. Holds against a coordinator that no participant helps: whoever has the key can forge a sum. It protects the truth of sums, not their privacy.",
            "对每一参与方以 HPKE 密封并签署承诺。前提是没有参与方协助协调方：持有密钥者可伪造总和。它保护总和的真实性，而非隐私。",
        ),
        kind: Kind::Plain,
    },
    Class {
        name: "round (M1)",
        name_zh: "轮次说明 (M1)",
        messages: &["RoundSpec", "SumParameters", "ContributeRequest"],
        route: DOWN,
        receiver: (
            "What earlier sums led to: grids, bins with their summed counts, the present coefficients.",
            "此前总和所得：网格、分箱及其合计计数、当前系数。",
        ),
        outsider: ("The size hints at the number of columns and bins.", "大小透露列数与分箱数。"),
        protected_by: (
            "The coordinator's signature. Every participant computes the task itself from sums that it checked, and refuses another.",
            "协调方签名。每个参与方以已核验的总和自行推算任务，不一致即拒绝。",
        ),
        kind: Kind::Plain,
    },
    Class {
        name: "checkpoint",
        name_zh: "日志头",
        messages: &["TreeHead"],
        route: ("coordinator → participants, and back in each contribution", "协调方 → 参与方，并随每份贡献返回"),
        receiver: (
            "How many entries the coordinator's journal has, and a hash of them. No entry.",
            "协调方日志的条目数及其哈希；不含任何条目。",
        ),
        outsider: THAT_IT_PASSES,
        protected_by: (
            "Signed; participants pin it, and the committee answers only if all contributors pinned the same.",
            "已签名；参与方予以固定，仅当全体贡献方固定的相同时委员会才应答。",
        ),
        kind: Kind::Plain,
    },
    Class {
        name: "consistency proof",
        name_zh: "一致性证明",
        messages: &["ConsistencyProofRequest", "ConsistencyProof"],
        route: ("coordinator → participant, on request", "协调方 → 参与方（应请求）"),
        receiver: (
            "Hashes of stretches of the journal, which hold no entry and open none.",
            "日志各段的哈希；不含条目，也不能还原。",
        ),
        outsider: ("The size hints at the length of the journal.", "大小透露日志长度。"),
        protected_by: (
            "SHA-256: the journal was only appended to, or the proof fails.",
            "SHA-256：日志只能追加，否则证明不成立。",
        ),
        kind: Kind::Unrecorded,
    },
    Class {
        name: "upload status",
        name_zh: "上传进度",
        messages: &["UploadStatusRequest", "UploadStatus"],
        route: ("coordinator → participant, on request", "协调方 → 参与方（应请求）"),
        receiver: ("How much of its own upload is stored.", "自身上传已保存多少。"),
        outsider: THAT_IT_PASSES,
        protected_by: TLS,
        kind: Kind::Unrecorded,
    },
    Class {
        name: "contribution (M2)",
        name_zh: "贡献 (M2)",
        messages: &["ContributionHeader", "ContributionPart", "Chunk"],
        route: UP,
        receiver: (
            "That this party contributed, when, and a ciphertext with a hash of it. Its length follows from the job and is the same for all.",
            "该方已贡献、时间、密文及其哈希；长度由任务决定，各方相同。",
        ),
        outsider: (
            "The time until it arrives may hint at how many rows the party has.",
            "到达所需时间可能透露该方大致行数。",
        ),
        protected_by: (
            "RLWE under a key used once, and that key in shares sealed for the committee: nobody can open it, nor up to T members with the coordinator.",
            "以一次性密钥做 RLWE 加密，密钥分份密封给委员会：任何人（含协调方与至多 T 名成员合谋）均无法打开。",
        ),
        kind: Kind::Vector,
    },
    Class {
        name: "survivors (M3)",
        name_zh: "应答请求 (M3)",
        messages: &["AnswerRequest", "Survivor"],
        route: ("coordinator → committee", "协调方 → 委员会"),
        receiver: (
            "Who contributed, hashes of their ciphertexts, and one share of each contributor's key for this round.",
            "谁已贡献、密文哈希，以及每个贡献方本轮密钥的一份。",
        ),
        outsider: ("The size tells how many contributed.", "大小透露贡献方数量。"),
        protected_by: (
            "Shamir's scheme: the shares of up to T members are independent of the keys. A member answers one set for one question, once.",
            "Shamir 方案：至多 T 名成员的份额与密钥独立。成员对同一问题只为一个集合应答一次。",
        ),
        kind: Kind::Plain,
    },
    Class {
        name: "answer (M4)",
        name_zh: "应答 (M4)",
        messages: &["CommitteeAnswer"],
        route: ("committee → coordinator", "委员会 → 协调方"),
        receiver: (
            "One share of the sum of the contributors' keys. Enough of them give that sum, and so the sum of the vectors, over all contributors together.",
            "贡献方密钥之和的一份；足够多时得到密钥之和，从而得到全体贡献方向量之和。",
        ),
        outsider: THAT_IT_PASSES,
        protected_by: (
            "Only the sum over at least the minimum number of contributors is answered for; no single key follows from it.",
            "只对不少于最低贡献方数的总和应答；无法推出任何单个密钥。",
        ),
        kind: Kind::Sum,
    },
    Class {
        name: "closed round (M5)",
        name_zh: "已完成轮次 (M5)",
        messages: &["ClosedRoundRequest", "ClosedRoundPart", "ClosedRoundHead"],
        route: ("coordinator → every participant of the session", "协调方 → 本会话全体参与方"),
        receiver: (
            "Each opened sum, number by number: counts per fine cell, gradients, Hessians, score histograms. Every participant thus sees all that the coordinator sees of sums, and can subtract its own part.",
            "每个打开的总和的全部数值：细格计数、梯度、Hessian、得分直方图。参与方因此看到协调方所见的全部总和，并可减去自身部分。",
        ),
        outsider: (
            "The size tells the dimension of the sum, which follows from the job.",
            "大小透露总和维数（由任务决定）。",
        ),
        protected_by: (
            "The number of parties and firms in a sum, and nothing else. A tag under the check key shows that the sum is the true one.",
            "仅由总和中参与方与企业的数量保护。校验密钥下的标签证明总和为真。",
        ),
        kind: Kind::Sum,
    },
    Class {
        name: "exchange (X2)",
        name_zh: "交换请求 (X2)",
        messages: &["ExchangeRequest"],
        route: DOWN,
        receiver: (
            "Everybody's announcements of the exchange before, which the coordinator reads too: what was done, sizes, commitments, public keys; who wrote letters to whom, and how long they are.",
            "上一次交换中各方的公告（协调方亦可见）：所做步骤、规模、承诺、公钥；谁致信于谁及其长度。",
        ),
        outsider: ("The size hints at the number of letters.", "大小透露信件数量。"),
        protected_by: (
            "Every parcel is signed by its sender, and all of them are chained: nothing can be left out or exchanged.",
            "每个包裹由发送方签名并逐次链接，不能遗漏或替换。",
        ),
        kind: Kind::Plain,
    },
    Class {
        name: "parcel (X1)",
        name_zh: "包裹 (X1)",
        messages: &["ParcelHead", "Announcement", "LetterHead", "ParcelPart"],
        route: UP,
        receiver: (
            "What the sender announces to all, and sealed letters: for whom, and how long. Lengths follow from the numbers of firms and columns.",
            "发送方对全体的公告，以及密封信件的收件方与长度；长度取决于企业数与列数。",
        ),
        outsider: (
            "The size hints at how many firms the party has, the time at how long it computes.",
            "大小透露该方大致企业数，时间透露其计算时长。",
        ),
        protected_by: (
            "Letters are sealed for their receivers (HPKE, a key for each letter); the head is signed.",
            "信件为收件方密封（HPKE，每封信一把密钥）；包裹头已签名。",
        ),
        kind: Kind::Plain,
    },
    Class {
        name: "letters (X3)",
        name_zh: "信件 (X3)",
        messages: &["LettersRequest", "LetterPart"],
        route: ("coordinator → each receiver, on request", "协调方 → 各收件方（应请求）"),
        receiver: (
            "What the others wrote to this party: what that tells depends on the step of the job.",
            "他方写给本方的内容；所含信息取决于任务步骤。",
        ),
        outsider: ("The size hints at the number of firms.", "大小透露大致企业数。"),
        protected_by: (
            "Sealed for the receiver, and compared with the digest that the sender signed.",
            "为收件方密封，并与发送方签名的摘要核对。",
        ),
        kind: Kind::Unrecorded,
    },
    Class {
        name: "objection",
        name_zh: "异议",
        messages: &["Objection"],
        route: ("participant → coordinator → operators", "参与方 → 协调方 → 操作员"),
        receiver: (
            "Which rule was broken, by whom, as the participant sees it, in words of the protocol. No values.",
            "参与方认为谁违反了哪条规则（协议用语）；不含数值。",
        ),
        outsider: THAT_IT_PASSES,
        protected_by: ("Signed, in the journal, at most 4096 bytes.", "已签名并记入日志，至多 4096 字节。"),
        kind: Kind::Plain,
    },
    Class {
        name: "job closed",
        name_zh: "任务结束",
        messages: &["JobClosed"],
        route: DOWN,
        receiver: (
            "The scorecard with its bin counts, the regression with its standard errors, and the evaluation of all parties together.",
            "评分卡及分箱计数、回归与标准误、全体合计的评估。",
        ),
        outsider: ("The size hints at the number of variables.", "大小透露变量数。"),
        protected_by: (
            "Only to parties of the session; each checks that it follows from the checked sums. Bins below the job's minimum are published without counts, but totals less the other bins give them.",
            "仅发给本会话参与方；各方核验其确由已核验总和得出。小于最小行数的分箱不公布计数，但由合计减其余分箱可得。",
        ),
        kind: Kind::Sum,
    },
    Class {
        name: "receipt",
        name_zh: "回执",
        messages: &["Receipt"],
        route: DOWN,
        receiver: ("Whether its own message was accepted, and else why not.", "自身消息是否被接受；否则原因为何。"),
        outsider: THAT_IT_PASSES,
        protected_by: TLS,
        kind: Kind::Plain,
    },
    Class {
        name: "status",
        name_zh: "状态查询",
        messages: &["JobReference", "ListJobsRequest", "ListJobsResponse", "PartyStatus", "JobStatus"],
        route: OPERATOR,
        receiver: (
            "Who is connected, late or absent, bytes per party, reasons for declining, one line per closed round.",
            "谁在线、迟到或缺席，各方字节数，拒绝原因，每轮一行结果。",
        ),
        outsider: THAT_IT_PASSES,
        protected_by: ("Mutual TLS and the role operator.", "双向 TLS 与操作员角色。"),
        kind: Kind::Unrecorded,
    },
    Class {
        name: "journal",
        name_zh: "日志下载",
        messages: &["JournalEntry"],
        route: OPERATOR,
        receiver: (
            "Every event: who did what when, tasks, digests of sums, and what the sums led to (bins with their counts, correlations, coefficients). No ciphertext, no sum as such.",
            "全部事件：谁何时做了什么、任务、总和摘要及其所得（分箱计数、相关系数、系数）；不含密文，也不含总和本身。",
        ),
        outsider: ("The size hints at the number of rounds and parties.", "大小透露轮数与参与方数。"),
        protected_by: ("Mutual TLS and the role operator.", "双向 TLS 与操作员角色。"),
        kind: Kind::Unrecorded,
    },
    Class {
        name: "result",
        name_zh: "结果下载",
        messages: &["JobResult"],
        route: OPERATOR,
        receiver: ("The same result as the parties.", "与参与方相同的结果。"),
        outsider: THAT_IT_PASSES,
        protected_by: ("Mutual TLS and the role operator.", "双向 TLS 与操作员角色。"),
        kind: Kind::Unrecorded,
    },
];

fn text((en, zh): Text) -> Note {
    note(en, zh)
}

/// Only for jobs that give every party slots of its own.
pub(super) fn own_slots(scene: &Scene<'_>) -> Note {
    learning::own_slots(scene.learns).unwrap_or_else(own_scores)
}

fn own_scores() -> Note {
    note(
        "This job gives each party slots of its own in the evaluation: each party's score histogram on its test rows, goods and bads apart, and its squared errors become known to all. Each party's policy allowed it.",
        "本任务在评估中为每一方设独立槽位：每一方测试样本的得分直方图（好坏分列）与平方误差对全体公开；各方策略均已允许。",
    )
}

impl Class {
    fn leak(&self, scene: &Scene<'_>, seen: Option<(Traffic, Basis)>) -> ClassLeak {
        let told = learning::told(self.name, scene.learns);
        let mut receiver = told.as_ref().map_or_else(|| text(self.receiver), |t| t.receiver.clone());
        let mut protected_by = text(self.protected_by);
        if let Some(other) = told.and_then(|t| t.protected_by) {
            protected_by = other;
        }
        if self.kind == Kind::Sum {
            receiver = and(receiver, &scene.exactness());
            if scene.rule.per_party {
                receiver = and(receiver, &own_slots(scene));
            }
        }
        if self.kind == Kind::Vector && !scene.encrypted {
            receiver = note(
                "The vector itself, IN THE CLEAR: this run had no encryption.",
                "向量本身（明文）：本次运行未加密。",
            );
            protected_by = note("Nothing.", "无。");
        }
        ClassLeak {
            class: self.name.to_owned(),
            class_zh: self.name_zh.to_owned(),
            messages: self.messages.iter().map(|m| (*m).to_owned()).collect(),
            route: text(self.route),
            count: seen.map(|(t, _)| t.count),
            bytes: seen.map(|(t, _)| t.bytes),
            basis: seen.map_or(Basis::Unrecorded, |(_, basis)| basis),
            receiver,
            outsider: text(self.outsider),
            protected_by,
        }
    }

    /// Whether the journal holds these very messages.
    fn is_received(&self) -> bool {
        self.kind == Kind::Vector || self.name == "answer (M4)"
    }
}

/// Classes that occurred, classes that nobody counted, and names of those that did not occur.
pub(super) fn leaks(
    scene: &Scene<'_>,
    computed: &BTreeMap<&'static str, Traffic>,
    measured: Option<&BTreeMap<&'static str, Traffic>>,
) -> (Vec<ClassLeak>, Vec<ClassLeak>, Vec<String>) {
    let (mut occurred, mut unrecorded, mut absent) = (Vec::new(), Vec::new(), Vec::new());
    for class in CLASSES {
        let counts = measured.unwrap_or(computed);
        let basis = if measured.is_some() || class.is_received() { Basis::Measured } else { Basis::Computed };
        match counts.get(class.name).filter(|t| t.count > 0) {
            Some(traffic) => occurred.push(class.leak(scene, Some((*traffic, basis)))),
            None if class.kind == Kind::Unrecorded && measured.is_none() => unrecorded.push(class.leak(scene, None)),
            None => absent.push(class.name.to_owned()),
        }
    }
    (occurred, unrecorded, absent)
}
