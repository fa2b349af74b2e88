//! Who learns what by pooling what they know, from the job's own numbers.

use haihe_protocol::id::PartyId;

use super::{Collusion, Learns, Noise, Scene, Verdict, and, learning, names, note};
use crate::report::data::Note;

/// Most coalitions of one kind that are named.
const NAMED: usize = 10;

use Verdict::{No, Partly, Yes};

/// Everybody who could look, from the outside inwards.
pub(super) fn collusions(scene: &Scene<'_>) -> Vec<Collusion> {
    let mut all = vec![
        network(),
        authority(),
        operator(scene),
        reader(scene),
        participant(scene),
        coordinator(scene),
        threshold(scene),
    ];
    all.extend(between(scene));
    all.extend([opening(scene), all_but_one(scene)]);
    all
}

fn entry(key: &str, who: Note, [single_party, sums, presence]: [Verdict; 3], can: Note, cannot: Note) -> Collusion {
    Collusion { key: key.to_owned(), who, coalitions: Vec::new(), rows: No, single_party, sums, presence, can, cannot }
}

fn network() -> Collusion {
    entry(
        "network",
        note("Somebody who watches the network", "网络旁观者"),
        [No, No, Partly],
        note(
            "See addresses, sizes and times: who is connected to the coordinator, and how long each computes.",
            "看到地址、大小与时间：谁连接协调方、各方计算多久。",
        ),
        note("Read any content: everything is inside TLS.", "读取任何内容：全部在 TLS 之内。"),
    )
}

fn authority() -> Collusion {
    entry(
        "authority",
        note("The certificate authority", "证书机构"),
        [Partly, Partly, No],
        note(
            "Nothing as long as it issues each name once. One that issues false names can, with the coordinator, fill a roster with parties that do not exist, and then open what the others contribute.",
            "若每个名称只签发一次，则一无所得。若签发虚假名称并与协调方合谋，可用不存在的参与方填充名册，进而打开他方的贡献。",
        ),
        note("Read any message: none passes through it.", "读取任何消息：消息均不经过它。"),
    )
}

fn operator(scene: &Scene<'_>) -> Collusion {
    entry(
        "operator",
        note("An operator alone", "仅操作员"),
        [own(scene), Partly, Yes],
        match scene.learns {
            Learns::Scorecard => note(
                "Read journal and result: who did what when, bins with their counts, coefficients, evaluation.",
                "读取日志与结果：谁何时做了什么、分箱计数、系数、评估。",
            ),
            Learns::Network(_) | Learns::Anomaly(_) => note(
                "Read journal and result: who did what when, the loss of each round, the model, its evaluation.",
                "读取日志与结果：谁何时做了什么、各轮损失、模型及其评估。",
            ),
        },
        note("See ciphertexts, sealed shares, the numbers of a sum.", "看到密文、密封份额、总和的数值。"),
    )
}

fn reader(scene: &Scene<'_>) -> Collusion {
    let (per_party, own_en, own_zh) = if scene.rule.per_party {
        (Partly, " and of each party's test firms", "及各方测试样本")
    } else {
        (No, "", "")
    };
    let (what, what_zh) = learning::read(scene.learns);
    let can = note(
        format!("Read {what}, and the score histograms of all parties together{own_en}."),
        format!("读取{what_zh}、全体合计{own_zh}的得分直方图。"),
    );
    entry(
        "reader",
        note("Anybody who reads the result", "任何读到结果的人"),
        [per_party, Partly, Partly],
        and(can, &scene.exactness()),
        match scene.learns.training() {
            None => note("See the sums of the rounds.", "看到各轮的总和。"),
            Some(_) => note("See the summed updates of the rounds.", "看到各轮更新之和。"),
        },
    )
}

/// A verdict about one party's part that `per_party` softens.
fn own(scene: &Scene<'_>) -> Verdict {
    if scene.rule.per_party { Partly } else { No }
}

/// Whether those who have a single party's contributions get rows: a model's updates give them away in part.
fn rows(scene: &Scene<'_>) -> Verdict {
    if scene.learns.training().is_some() { Partly } else { No }
}

fn participant(scene: &Scene<'_>) -> Collusion {
    let (others, least) = (scene.parties.len().saturating_sub(1), scene.rule.minimum_contributors.saturating_sub(1));
    let can = note(
        format!(
            "Read every opened sum (M5), and less its own part the sum over the {}.",
            at_least(least, others, "others")
        ),
        format!("读取每个打开的总和 (M5)；减去自身后为其余{}方之和。", at_least_zh(least, others)),
    );
    let updates = scene.learns.training().map(|_| {
        note("In training rounds that is the sum of the others' model updates.", "在训练轮中即其余各方模型更新之和。")
    });
    entry(
        "participant",
        note("One participant alone", "仅一个参与方"),
        [own(scene), Yes, Yes],
        updates.iter().fold(can, and),
        note(
            "Tell which of the others a count comes from; see their ciphertexts.",
            "得知计数来自其余哪一方；看到他方的密文。",
        ),
    )
}

/// `2 others`, or `2 to 4 others` where rounds may have fewer contributors.
fn at_least(least: u32, most: usize, what: &str) -> String {
    if least as usize >= most { format!("{most} {what}") } else { format!("{least} to {most} {what}") }
}

fn at_least_zh(least: u32, most: usize) -> String {
    if least as usize >= most { format!(" {most} ") } else { format!(" {least} 至 {most} ") }
}

fn coordinator(scene: &Scene<'_>) -> Collusion {
    let m = scene.rule.minimum_contributors;
    let can = note(
        "Read every opened sum, who contributed when, and how many bytes.",
        "读取每个打开的总和、谁何时贡献、字节数。",
    );
    if !scene.encrypted {
        let clear = note("And every vector: this run had no encryption.", "以及每个向量：本次运行未加密。");
        let cannot = note("Obtain rows: none was sent.", "得到数据行：从未发送。");
        return entry("coordinator", note("The coordinator alone", "仅协调方"), [Yes; 3], and(can, &clear), cannot);
    }
    entry(
        "coordinator",
        note("The coordinator alone", "仅协调方"),
        [own(scene), Yes, Yes],
        can,
        note(
            format!(
                "Obtain a sum over fewer than {m} parties; announce a false sum or result, or ask what does not follow from the sums, without being noticed, as long as no participant hands it the check key."
            ),
            format!(
                "获得少于 {m} 方的总和；在无参与方交出校验密钥时，公布虚假的总和或结果、提出不由总和得出的问题而不被发现。"
            ),
        ),
    )
}

fn threshold(scene: &Scene<'_>) -> Collusion {
    let (t, m) = (scene.rule.privacy_threshold, scene.rule.minimum_contributors);
    let left = m.saturating_sub(t);
    let count = scene.parties.len().saturating_sub(t as usize);
    let example = coalitions(scene.parties, t as usize);
    let mut can = note(
        format!("Obtain the sum over the {}.", at_least(left, count, "parties that do not collude")),
        format!("得到其余{}方（未合谋者）之和。", at_least_zh(left, count)),
    );
    if let Some((some, rest)) = first(&example, scene.parties) {
        can = and(
            can,
            &note(
                format!("For example the coordinator with {}: the sum of {}.", some.en, rest.en),
                format!("例如协调方与 {}：得到 {} 之和。", some.zh, rest.zh),
            ),
        );
    }
    let key = note(
        "With the check key that a participant hands over, the coordinator can announce false sums and so ask questions of its choice, within the job's form and over these same parties.",
        "若某参与方交出校验密钥，协调方可公布虚假总和，从而在任务形式内向同样这些参与方任意提问。",
    );
    let cannot = note("Obtain the part of any single one of them.", "得到其中任何单一方的部分。");
    let who = match t {
        1 => note("The coordinator and 1 participant", "协调方与 1 个参与方"),
        _ => note(format!("The coordinator and up to {t} participants"), format!("协调方与至多 {t} 个参与方")),
    };
    let entry = entry("coordinator_and_threshold", who, [own(scene), Yes, Yes], and(can, &key), cannot);
    Collusion { coalitions: example, ..entry }
}

fn between(scene: &Scene<'_>) -> Option<Collusion> {
    let (from, to) = (scene.rule.privacy_threshold + 1, scene.rule.answers_needed.saturating_sub(1));
    (from <= to).then(|| {
        let how_many = if from == to { from.to_string() } else { format!("{from} to {to}") };
        let how_many_zh = if from == to { from.to_string() } else { format!("{from} 至 {to}") };
        entry(
            "coordinator_and_between",
            note(
                format!("The coordinator and {how_many} members of the committee"),
                format!("协调方与 {how_many_zh} 名委员会成员"),
            ),
            [Partly, Yes, Yes],
            note(
                "Obtain linear relations among the coefficients of each single key. Treat single contributions as open.",
                "得到各单个密钥系数之间的线性关系；应视为单个贡献已暴露。",
            ),
            note(
                "Obtain rows: none was sent. Nothing else is guaranteed any more.",
                "得到数据行：从未发送。此外不再有任何保证。",
            ),
        )
    })
}

fn opening(scene: &Scene<'_>) -> Collusion {
    let r = scene.rule.answers_needed;
    let everybody = r as usize >= scene.parties.len();
    let who = if everybody {
        note(format!("The coordinator and all {r} members"), format!("协调方与全部 {r} 名成员"))
    } else {
        note(format!("The coordinator and {r} or more members"), format!("协调方与 {r} 名或更多成员"))
    };
    let entry = entry(
        "coordinator_and_answers",
        who,
        [Yes; 3],
        {
            let (what, what_zh) = learning::parts(scene.learns);
            note(
                format!(
                    "Open every key, and so every single contribution: each party's counts per fine cell, {what}, histograms. A small count can point at a firm."
                ),
                format!(
                    "打开每个密钥，进而每个单独的贡献：各方的细格计数、{what_zh}、直方图；小计数可能指向个别企业。"
                ),
            )
        },
        match scene.learns.training() {
            None => note("Obtain rows: none was sent.", "得到数据行：从未发送。"),
            Some(_) => note("Obtain rows whole: none was sent.", "得到完整的数据行：从未发送。"),
        },
    );
    let more = scene.learns.training().map(|_| learning::inversion());
    Collusion { rows: rows(scene), can: more.iter().fold(entry.can.clone(), and), ..entry }
}

fn all_but_one(scene: &Scene<'_>) -> Collusion {
    let n = scene.parties.len();
    let colluding = coalitions(scene.parties, n.saturating_sub(1));
    let (word, word_zh) = match scene.noise {
        None => ("exact counts", "精确计数"),
        Some(_) => ("noisy counts", "含噪计数"),
    };
    let (what, what_zh) = learning::parts(scene.learns);
    let mut can = if colluding.is_empty() {
        note(
            format!(
                "Obtain the last one's {word}, {what} and histograms, by subtraction from the sums that every participant sees."
            ),
            format!("由各参与方可见的总和相减，得到最后一方的{word_zh}、{what_zh}与直方图。"),
        )
    } else {
        let each = colluding.iter().map(|some| (joined(some), names(&rest(scene.parties, some))));
        let (mut en, mut zh) = (Vec::new(), Vec::new());
        let (more, more_zh) = match scene.learns.training() {
            Some(_) => (" and model updates", "与模型更新"),
            None => ("", ""),
        };
        for (some, other) in each {
            en.push(format!("{some}, without the coordinator, obtain {}'s {word}{more} by subtraction", other.en));
            zh.push(format!("{some}（无需协调方）相减即得 {} 的{word_zh}{more_zh}", other.zh));
        }
        note(format!("{}.", en.join("; ")), format!("{}。", zh.join("；")))
    };
    if scene.learns.training().is_some() {
        can = and(can, &learning::inversion());
    }
    if let Some(Noise { epsilon, .. }) = scene.noise {
        let weaker = note(
            format!("Only the last one's own noise is left in them: a weaker guarantee than epsilon {epsilon}."),
            format!("其中仅余该方自身噪声，保证弱于 ε = {epsilon}。"),
        );
        can = and(can, &weaker);
    }
    let who = note(
        format!("{} participants of {n}, without the coordinator", n.saturating_sub(1)),
        format!("{n} 方中的 {} 方（无协调方）", n.saturating_sub(1)),
    );
    let cannot = match scene.learns.training() {
        None => note("Obtain its rows, or what is in no sum.", "得到其数据行或未进入任何总和的信息。"),
        Some(_) => note("Obtain its rows whole, or what is in no sum.", "得到完整的数据行或未进入任何总和的信息。"),
    };
    let single = if scene.noise.is_some() { Partly } else { Yes };
    let entry = entry("all_but_one", who, [single, Yes, Yes], can, cannot);
    Collusion { coalitions: colluding, rows: rows(scene), ..entry }
}

/// All sets of `size` parties, if they are few.
fn coalitions(parties: &[PartyId], size: usize) -> Vec<Vec<PartyId>> {
    let mut sets: Vec<Vec<PartyId>> = vec![Vec::new()];
    for (at, party) in parties.iter().enumerate() {
        let left = parties.len() - at;
        let with = sets.iter().filter(|s| s.len() < size).map(|s| s.iter().chain([party]).cloned().collect());
        let with: Vec<Vec<PartyId>> = with.collect();
        // Sets that can still become full.
        sets.retain(|s| s.len() + left > size || s.len() == size);
        sets.extend(with);
        if sets.len() > 200 {
            return Vec::new();
        }
    }
    sets.retain(|s| s.len() == size && size > 0);
    sets.sort();
    if sets.len() > NAMED { Vec::new() } else { sets }
}

fn rest(parties: &[PartyId], some: &[PartyId]) -> Vec<PartyId> {
    parties.iter().filter(|p| !some.contains(p)).cloned().collect()
}

fn joined(parties: &[PartyId]) -> String {
    parties.iter().map(PartyId::as_str).collect::<Vec<_>>().join(" + ")
}

fn first(sets: &[Vec<PartyId>], parties: &[PartyId]) -> Option<(Note, Note)> {
    sets.first().map(|some| (names(some), names(&rest(parties, some))))
}
