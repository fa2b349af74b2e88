//! What is special about a job's privacy, in sentences.

use super::{Scene, classes::own_slots, learning, names, note};
use crate::report::data::Note;

/// In the order of their weight.
pub(super) fn remarks(scene: &Scene<'_>) -> Vec<Note> {
    let rule = scene.rule;
    let mut remarks = Vec::new();
    if !scene.encrypted {
        remarks.push(note(
            "This run had NO ENCRYPTION: whoever ran it reads every vector. What follows holds for the roles, not for this run.",
            "本次运行未加密：运行者可读到每个向量。以下内容仅适用于各角色，不适用于本次运行。",
        ));
    }
    if rule.per_party {
        remarks.push(own_slots(scene));
    }
    remarks.extend(learning::remarks(scene));
    if rule.minimum_contributors < rule.parties {
        let (n, m) = (rule.parties, rule.minimum_contributors);
        remarks.push(note(
            format!("This job opens sums of {m} of its {n} parties. When a party is in one round and not in another, their counts of rows differ by its own: who sees both sums learns its number of training rows and of bad ones, and in such a round {} colluding contributors suffice for the last one's part.", m - 1),
            format!("本任务允许 {n} 方中 {m} 方的总和被打开。若某方在一轮中而不在另一轮中，两轮行数之差即其训练行数与坏客户数；在此类轮次中，{} 个合谋的贡献方即可得到最后一方的部分。", m - 1),
        ));
    }
    for partial in &rule.partial_rounds {
        let missing = names(&partial.missing);
        remarks.push(note(
            format!("Round {} ({}) was summed without {}.", partial.round, partial.step, missing.en),
            format!("第 {} 轮（{}）的总和不含 {}。", partial.round, partial.step, missing.zh),
        ));
    }
    if !rule.one_sum_per_round {
        remarks.push(note(
            "The job assumes a semi-honest coordinator: with these numbers a cheating one could obtain two sums of one round and subtract them.",
            "本任务假定协调方半诚实：在此参数下，作弊的协调方可能就同一轮获得两个总和并相减。",
        ));
    }
    remarks
}
