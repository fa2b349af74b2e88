//! group: items to points, and points raised, by every engine of this machine.

use super::{Answer, array, bytes, read, words};
use haihe_privacy::align::group::{Engine, Exponent};
use serde_json::{Value, json};
use std::num::NonZeroUsize;

pub fn group(input: &Value) -> Answer {
    let exponent = Exponent::derive(&array(&input["seed"]));
    let answers: Vec<Answer> = Engine::available().into_iter().map(|engine| by(engine, input, &exponent)).collect();
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    answers[0].clone()
}

fn by(engine: Engine, input: &Value, exponent: &Exponent) -> Answer {
    let list = |name: &str| input[name].as_array().unwrap().clone();
    let mut points = Vec::new();
    match input.get("items") {
        Some(_) => {
            let items: Vec<_> = list("items").iter().map(bytes).collect();
            engine.hash_and_raise(&read(&input["domain"])?, &items, exponent, NonZeroUsize::MIN, &mut points);
        }
        None => {
            points.extend(list("points").iter().map(array));
            engine.raise(&mut points, exponent, NonZeroUsize::MIN).map_err(words)?;
        }
    }
    Ok(json!(points.iter().map(hex::encode).collect::<Vec<_>>()))
}

pub fn group_inputs() -> Vec<(&'static str, Value)> {
    let generator = "e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76";
    let raised = |last: String| json!({"seed": "0a".repeat(32), "points": [generator, last]});
    let hashed = |domain: &str, items: &[&str]| {
        let items: Vec<_> = items.iter().map(hex::encode).collect();
        json!({"seed": "0a".repeat(32), "domain": domain.repeat(32), "items": items})
    };
    vec![
        ("codes", hashed("d0", &["91350211M000100Y43", "91310000MA1FL0000X", ""])),
        ("the same codes under another domain", hashed("d1", &["91350211M000100Y43", "91310000MA1FL0000X", ""])),
        ("a long item", hashed("d0", &["0123456789abcdef".repeat(100).as_str()])),
        ("no items", hashed("d0", &[])),
        ("the generator", raised(generator.to_owned())),
        ("the identity", raised("00".repeat(32))),
        ("a number above p", raised("ff".repeat(32))),
        ("p", raised(format!("ed{}7f", "ff".repeat(30)))),
        ("a negative number", raised(format!("01{}", "00".repeat(31)))),
        ("x^2 is not a square", raised("26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371".to_owned())),
        ("x y is negative", raised("3eb858e78f5a7254d8c9731174a94f76755fd3941c0ac93735c07ba14579630e".to_owned())),
        ("y is zero", raised(format!("ec{}7f", "ff".repeat(30)))),
    ]
}
