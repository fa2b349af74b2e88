//! Safetensors with a card.

use haihe_models::files::compare::compare;
use haihe_models::files::weights::{CARD_KEY, MAX_FILE_BYTES, read, write};
use haihe_models::files::{Damage, FileError, ModelCard};
use haihe_models::network::{Architecture, EncodingKind};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{architectures, card, encoder};

/// The header as JSON and the tensors' bytes.
fn taken_apart(bytes: &[u8]) -> (Value, Vec<u8>) {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    (serde_json::from_slice(&bytes[8..8 + length]).unwrap(), bytes[8 + length..].to_vec())
}

fn put_together(header: &Value, data: &[u8]) -> Vec<u8> {
    let header = serde_json::to_vec(header).unwrap();
    [&(header.len() as u64).to_le_bytes(), &header[..], data].concat()
}

/// A small file with its header changed.
fn forged(change: impl FnOnce(&mut Value)) -> FileError {
    let card = card(Architecture::Logistic { inputs: 3 });
    let (mut header, data) = taken_apart(&write(&card, &[1.0, 2.0, 3.0, 4.0]).unwrap());
    change(&mut header);
    read(&put_together(&header, &data)).expect_err("the file is forged")
}

/// The same with its card changed.
fn with_card(change: impl FnOnce(&mut Value)) -> FileError {
    forged(|header| {
        let text = &mut header["__metadata__"][CARD_KEY];
        let mut card: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
        change(&mut card);
        *text = Value::String(card.to_string());
    })
}

#[test]
fn what_was_written_is_read_back() {
    for architecture in architectures() {
        let (parameters, card) = (architecture.initial(3), card(architecture));
        let bytes = write(&card, &parameters).unwrap();
        assert_eq!(bytes, write(&card.clone(), &parameters).unwrap(), "the same bytes every time");
        assert_eq!(read(&bytes).unwrap(), (card.clone(), parameters));
        assert_eq!(ModelCard::from_json(&card.to_json().unwrap()).unwrap(), card);
    }
}

#[test]
fn every_kind_of_encoder_is_read_back() {
    for kind in [EncodingKind::Standardise, EncodingKind::QuantileNormal, EncodingKind::Woe] {
        let mut card = card(Architecture::Logistic { inputs: 4 });
        card.encoder = Some(encoder(&card.architecture, kind));
        let bytes = write(&card, &[0.5; 5]).unwrap();
        assert_eq!(read(&bytes).unwrap().0, card, "to the last bit");
    }
    let series = Architecture::Lstm { steps: 2, channels: 3, statics: 1, hidden: 2, head: vec![] };
    let mut other = card(series.clone());
    other.architecture = Architecture::Lstm { steps: 3, channels: 2, statics: 1, hidden: 2, head: vec![] };
    let error = write(&other, &other.architecture.initial(1)).expect_err("as many inputs, another series");
    assert!(matches!(error, FileError::Field { field: "encoder", .. }), "{error}");
}

#[test]
fn tensors_have_the_names_and_shapes_of_pytorch() {
    let card = card(Architecture::Lstm { steps: 2, channels: 3, statics: 1, hidden: 4, head: vec![] });
    let parameters: Vec<f32> = (0..card.architecture.parameters()).map(|p| p as f32).collect();
    let (header, data) = taken_apart(&write(&card, &parameters).unwrap());
    assert_eq!(header["lstm.weight_hh_l0"]["shape"], json!([16, 4]));
    assert_eq!(header["head.0.weight"]["dtype"], "F32");
    let at = header["head.0.bias"]["data_offsets"][0].as_u64().unwrap() as usize;
    assert_eq!(data[at..at + 4], (card.architecture.parameters() as f32 - 1.0).to_le_bytes());
}

#[test]
fn a_card_is_checked_before_it_is_written() {
    type Change = fn(&mut ModelCard);
    let changes: [(&str, Change); 12] = [
        ("encoder", |c| c.encoder = Some(encoder(&Architecture::Logistic { inputs: 2 }, EncodingKind::Standardise))),
        ("kind", |c| c.kind = "lstm".to_owned()),
        ("name", |c| c.name.clear()),
        ("limits", |c| c.limits = "x".repeat(20_000)),
        ("parties", |c| c.parties = vec![String::new(); 10_001]),
        ("best_round", |c| c.best_round = 21),
        ("figures", |c| *c.figures.get_mut("ks").unwrap() = f64::NAN),
        ("thresholds", |c| *c.thresholds.get_mut("warn").unwrap() = f64::INFINITY),
        ("privacy.epsilon", |c| c.privacy.as_mut().unwrap().epsilon = Some(-1.0)),
        ("privacy.delta", |c| c.privacy.as_mut().unwrap().delta = Some(f64::NAN)),
        ("created", |c| c.created = "yesterday".to_owned()),
        ("transcript", |c| c.transcript = "0g".to_owned()),
    ];
    for (name, change) in changes {
        let mut card = card(Architecture::Logistic { inputs: 1 });
        change(&mut card);
        let error = write(&card, &[0.0; 2]).unwrap_err();
        assert!(matches!(error, FileError::Field { field, .. } if field == name), "{name}: {error}");
    }
    let fine = card(Architecture::Logistic { inputs: 1 });
    assert!(matches!(write(&fine, &[0.0; 3]), Err(FileError::Network(_))));
    assert!(
        matches!(write(&fine, &[0.0, f32::NAN]), Err(FileError::NotFinite { tensor }) if tensor == "layers.0.bias")
    );
}

#[test]
fn foreign_files_are_refused() {
    assert!(matches!(read(b""), Err(FileError::Damaged { problem: Damage::Short })));
    assert!(matches!(read(b"\x10\0\0\0\0\0\0\0{}"), Err(FileError::Damaged { problem: Damage::Short })));
    assert!(matches!(read(b"\x02\0\0\0\0\0\0\0{}"), Err(FileError::NoCard)));
    assert!(matches!(read(b"\x02\0\0\0\0\0\0\0[]"), Err(FileError::Damaged { problem: Damage::Header })));
    assert!(matches!(read(b"\x02\0\0\0\0\0\0\0{}more"), Err(FileError::Damaged { problem: Damage::Length })));
    assert!(matches!(read(&[0xff; 100]), Err(FileError::TooLarge { what: "the header", .. })));
    assert!(matches!(read(&vec![0; MAX_FILE_BYTES + 1]), Err(FileError::TooLarge { what: "the file", .. })));
    let other = forged(|header| *header["__metadata__"].as_object_mut().unwrap() = serde_json::Map::new());
    assert!(matches!(other, FileError::NoCard), "{other}");
}

#[test]
fn tensors_must_be_those_of_the_network() {
    let shape = forged(|h| h["layers.0.weight"]["shape"] = json!([3, 1]));
    assert!(matches!(shape, FileError::Tensor { ref tensor, .. } if tensor == "layers.0.weight"), "{shape}");
    let dtype = forged(|h| h["layers.0.weight"]["dtype"] = json!("I32"));
    assert!(matches!(dtype, FileError::Tensor { .. }), "{dtype}");
    let renamed = forged(|h| {
        let tensor = h.as_object_mut().unwrap().remove("layers.0.bias").unwrap();
        h["layers.9.bias"] = tensor;
    });
    assert!(matches!(renamed, FileError::Tensor { ref tensor, .. } if tensor == "layers.0.bias"), "{renamed}");
    let more = forged(|h| h["more"] = json!({ "dtype": "F32", "shape": [0], "data_offsets": [16, 16] }));
    assert!(matches!(more, FileError::Tensors { expected: 2, found: 3 }), "{more}");
    let card = card(Architecture::Logistic { inputs: 1 });
    let (header, _) = taken_apart(&write(&card, &[0.0; 2]).unwrap());
    let infinite = put_together(&header, &[0, 0, 0, 0, 0, 0, 0x80, 0x7f]);
    assert!(matches!(read(&infinite), Err(FileError::NotFinite { .. })));
}

#[test]
fn lengths_that_overflow_are_refused() {
    // Their sum and the header's length would pass the largest number. Tensors whose lengths add up to nearly 2^64.
    let huge = (1u64 << 61) - 1;
    let error = forged(|h| {
        let mut end = 16;
        for k in 0..7 {
            h[format!("z{k}")] = json!({ "dtype": "U8", "shape": [huge], "data_offsets": [end, end + huge] });
            end += huge;
        }
        let rest = u64::MAX - end;
        h["zz"] = json!({ "dtype": "U8", "shape": [rest], "data_offsets": [end, u64::MAX] });
    });
    assert!(matches!(error, FileError::Damaged { problem: Damage::Length }), "{error}");
}

#[test]
fn a_forged_card_is_refused() {
    let large = with_card(|c| c["architecture"]["inputs"] = json!(16_385));
    assert!(matches!(large, FileError::Network(_)), "{large}");
    let wide = with_card(|c| {
        c["kind"] = json!("mlp");
        c["architecture"] = json!({ "kind": "mlp", "inputs": 16_384, "hidden": [16_384], "activation": "relu" });
    });
    assert!(matches!(wide, FileError::Network(_)), "{wide}");
    assert!(matches!(with_card(|c| c["colour"] = json!("red")), FileError::Card(_)));
    assert!(matches!(with_card(|c| c["architecture"]["colour"] = json!("red")), FileError::Card(_)));
    assert!(matches!(with_card(|c| c["encoder"]["inputs"] = json!([])), FileError::Field { field: "encoder", .. }));
    assert!(matches!(with_card(|c| c["encoder"]["colour"] = json!("red")), FileError::Card(_)));
    assert!(matches!(with_card(|c| c["rounds"] = json!(-1)), FileError::Card(_)));
    assert!(matches!(with_card(|c| c["version"] = json!(2)), FileError::Version { found: 2 }));
    assert!(matches!(with_card(|c| c["limits"] = json!("x".repeat(5 << 20))), FileError::TooLarge { .. }));
}

proptest! {
    #[test]
    fn damaged_files_never_panic(which in 0usize..8, cut in any::<prop::sample::Index>(),
                                 flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6)) {
        let architecture = architectures().swap_remove(which);
        let (parameters, card) = (architecture.initial(1), card(architecture));
        let mut bytes = write(&card, &parameters).unwrap();
        for (at, with) in flips {
            // Half of the flips go to the header's length and its beginning.
            let place = if with % 2 == 0 { at.index(bytes.len()) } else { at.index(64) };
            bytes[place] ^= with;
        }
        if let Ok((card, parameters)) = read(&bytes) {
            prop_assert!(card.check().is_ok() && parameters.iter().all(|p| p.is_finite()));
            prop_assert_eq!(parameters.len(), card.architecture.parameters());
        }
        let end = cut.index(bytes.len());
        prop_assert!(read(&bytes[..end]).is_err(), "cut at {}", end);
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), json in "[\\[\\]{}\",:0-9a-z_]{0,120}") {
        let _ = read(&bytes);
        let header = [&(json.len() as u64).to_le_bytes(), json.as_bytes()].concat();
        prop_assert!(read(&header).is_err());
        prop_assert!(ModelCard::from_json(&json).is_err());
    }
}

#[test]
fn networks_are_compared_tensor_by_tensor() {
    let network = |parameters: [f32; 3]| (card(Architecture::Logistic { inputs: 2 }), parameters.to_vec());
    let (a, mut b) = (network([3.0, 4.0, 0.0]), network([3.0, 3.0, 0.5]));
    b.0.figures.insert("brier".to_owned(), 0.1);
    b.0.encoder = Some(encoder(&b.0.architecture, EncodingKind::QuantileNormal));
    let found = compare(&a, &b);
    assert!(found.same_architecture && !found.same_encoder);
    let [weight, bias] = &found.tensors[..] else { panic!("{found:?}") };
    assert_eq!((weight.max_abs, weight.relative_l2), (1.0, Some(0.2)));
    assert!((weight.cosine.unwrap() - 21.0 / (5.0 * 18f64.sqrt())).abs() < 1e-12);
    assert_eq!((bias.max_abs, bias.relative_l2, bias.cosine), (0.5, None, None));
    assert_eq!(found.all.as_ref().unwrap().max_abs, 1.0);
    let figures: Vec<_> = found.figures.iter().map(|f| (f.name.as_str(), f.a.is_some(), f.b.is_some())).collect();
    assert_eq!(figures, [("auroc", true, true), ("brier", false, true), ("ks", true, true)]);
    let other = (card(Architecture::Logistic { inputs: 1 }), vec![0.0; 2]);
    let found = compare(&a, &other);
    assert!(!found.same_architecture && found.tensors.is_empty() && found.all.is_none());
    let same = compare(&a, &a);
    assert_eq!(same.all.as_ref().map(|d| (d.max_abs, d.relative_l2)), Some((0.0, Some(0.0))));
}
