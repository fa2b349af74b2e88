//! log: roots, proofs and signed checkpoints.

use super::{Answer, array, bytes, number, read, tampered, words};
use haihe_privacy::{SigningKey, log::*};
use serde_json::{Value, json};

/// The eight entries with which implementations of RFC 6962 have compared their roots since 2013.
const ENTRIES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];

/// The roots of the first 1 to 8 of them, as in the test data of the Certificate Transparency project.
const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

/// `MTH(D[4:8])` of the same entries: with the fourth root, the children of the eighth.
const ROOT_OF_4_TO_8: &str = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4";

/// Three proofs that were published with them.
const INCLUSION_5_OF_8: [&str; 3] = [
    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
];
const INCLUSION_2_OF_3: [&str; 1] = ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"];
const CONSISTENCY_6_TO_8: [&str; 3] = [
    "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
];

/// The public checksum database of Go: its verifier key, and a checkpoint that it signed (c2sp.org/tlog-checkpoint
/// shows size, root and signature under another name).
const GO_VKEY: &str = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
const GO_CHECKPOINT: &str = "go.sum database tree\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
    — sum.golang.org Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";

pub(super) fn log(input: &Value) -> Answer {
    match input["check"].as_str().unwrap() {
        "roots" => roots(input),
        "inclusion" => inclusion(input),
        "consistency" => consistency(input),
        _ => checkpoint(input),
    }
}

fn roots(input: &Value) -> Answer {
    let log = log_of(input["entries"].as_array().unwrap());
    let roots: Vec<_> = (0..=log.size()).map(|size| log.root_at(size).unwrap()).collect();
    Ok(json!({"roots_by_size": roots}))
}

fn inclusion(input: &Value) -> Answer {
    let proof: InclusionProof = read(&input["proof"])?;
    let (size, index) = (number(&input["size"]), number(&input["index"]));
    verify_inclusion(&read(&input["root"])?, size, index, &bytes(&input["leaf"]), &proof).map_err(words)?;
    Ok(json!({"holds": true}))
}

fn consistency(input: &Value) -> Answer {
    let proof: ConsistencyProof = read(&input["proof"])?;
    let old = (number(&input["old_size"]), read(&input["old_root"])?);
    let new = (number(&input["new_size"]), read(&input["new_root"])?);
    verify_consistency(old, new, &proof).map_err(words)?;
    Ok(json!({"holds": true}))
}

fn checkpoint(input: &Value) -> Answer {
    let key: NoteKey = input["key"].as_str().unwrap().parse().map_err(words)?;
    let text = input["text"].as_str().unwrap();
    let signed = SignedCheckpoint::parse(text, input["origin"].as_str().unwrap(), &key).map_err(words)?;
    if let Some(cosigner) = input.get("cosigner") {
        signed.verify(&cosigner.as_str().unwrap().parse().map_err(words)?).map_err(words)?;
    }
    if let Some(seed) = input.get("seed") {
        let again = signed.checkpoint().sign(key.name(), &SigningKey::from_seed(array(seed)));
        assert_eq!(again.to_text(), text);
    }
    let (size, root) = signed.checkpoint().head();
    Ok(json!({"size": size, "root": root}))
}

fn log_of(entries: &[Value]) -> Log {
    let mut log = Log::new();
    entries.iter().for_each(|entry| _ = log.append(&bytes(entry)));
    log
}

pub(super) fn log_inputs() -> Vec<(&'static str, Value)> {
    let mut all = vec![
        ("the roots of no entry to eight", json!({"check": "roots", "entries": ENTRIES})),
        ("the roots of entries of one length", json!({"check": "roots", "entries": vec!["ab"; 5]})),
    ];
    all.extend(inclusion_inputs());
    all.extend(consistency_inputs());
    all.extend(checkpoint_inputs());
    all.extend(note_inputs());
    all
}

fn inclusion_inputs() -> Vec<(&'static str, Value)> {
    let proof = |size: usize, index: usize, proof: &[&str]| {
        json!({
            "check": "inclusion", "root": ROOTS[size - 1], "size": size, "index": index, "leaf": ENTRIES[index],
            "proof": proof,
        })
    };
    let good = proof(8, 5, &INCLUSION_5_OF_8);
    let [first, second, third] = INCLUSION_5_OF_8;
    let with = |pointer: &str, value: Value| tampered(good.clone(), &[(pointer, value)]);
    vec![
        ("entry 5 of 8", good.clone()),
        ("entry 2 of 3", proof(3, 2, &INCLUSION_2_OF_3)),
        ("entry 0 of 1", proof(1, 0, &[])),
        ("another entry", with("/leaf", json!(ENTRIES[4]))),
        ("a root's two children as the only entry", {
            let changes =
                [("/leaf", json!([ROOTS[3], ROOT_OF_4_TO_8].concat())), ("/size", json!(1)), ("/index", json!(0))];
            tampered(tampered(good.clone(), &changes), &[("/proof", json!([]))])
        }),
        ("another index", with("/index", json!(4))),
        ("an index that is the size", with("/index", json!(8))),
        ("a larger size", with("/size", json!(9))),
        ("a smaller size", with("/size", json!(6))),
        ("no entries", with("/size", json!(0))),
        ("another root", with("/root", json!(ROOTS[6]))),
        ("a proof cut short", with("/proof", json!([first, second]))),
        ("a proof that goes on", with("/proof", json!([first, second, third, third]))),
        ("an empty proof", with("/proof", json!([]))),
        ("two hashes exchanged", with("/proof", json!([second, first, third]))),
        ("a hash altered", with("/proof/1", json!(first))),
        ("a hash too short", with("/proof/1", json!("00".repeat(31)))),
        ("a hash in capitals", with("/proof/1", json!(second.to_uppercase()))),
        ("65 hashes", with("/proof", json!(vec![first; 65]))),
    ]
}

fn consistency_inputs() -> Vec<(&'static str, Value)> {
    let empty = RootHash::empty();
    let good = json!({
        "check": "consistency", "old_size": 6, "old_root": ROOTS[5], "new_size": 8, "new_root": ROOTS[7],
        "proof": CONSISTENCY_6_TO_8,
    });
    let [first, second, third] = CONSISTENCY_6_TO_8;
    let with = |pointer: &str, value: Value| tampered(good.clone(), &[(pointer, value)]);
    let same = json!({
        "check": "consistency", "old_size": 6, "old_root": ROOTS[5], "new_size": 6, "new_root": ROOTS[5],
        "proof": [],
    });
    let none = json!({
        "check": "consistency", "old_size": 0, "old_root": empty, "new_size": 6, "new_root": ROOTS[5], "proof": [],
    });
    let power = json!({
        "check": "consistency", "old_size": 2, "old_root": ROOTS[1], "new_size": 3, "new_root": ROOTS[2],
        "proof": ["0298d122906dcfc10892cb53a73992fc5b9f493ea4c9badb27b791b4127a7fe7"],
    });
    vec![
        ("6 to 8", good.clone()),
        ("2 to 3, an old size that is a power of two", power.clone()),
        ("the same log", same.clone()),
        ("from no entries", none.clone()),
        ("another old size", with("/old_size", json!(5))),
        ("another new size", with("/new_size", json!(9))),
        ("a log that has shrunk", tampered(good.clone(), &[("/old_size", json!(8)), ("/new_size", json!(6))])),
        ("another old root", with("/old_root", json!(ROOTS[4]))),
        ("another new root", with("/new_root", json!(ROOTS[6]))),
        ("a power of two, another old root", tampered(power.clone(), &[("/old_root", json!(ROOTS[0]))])),
        ("two roots for one size", tampered(same.clone(), &[("/new_root", json!(ROOTS[4]))])),
        ("a proof for the same log", tampered(same, &[("/proof", json!([first]))])),
        ("an old root for no entries", tampered(none.clone(), &[("/old_root", json!(ROOTS[0]))])),
        ("a proof from no entries", tampered(none, &[("/proof", json!([first]))])),
        ("an empty proof of growth", with("/proof", json!([]))),
        ("an empty proof of growth from a power of two", tampered(power, &[("/proof", json!([]))])),
        ("a consistency proof cut short", with("/proof", json!([first, second]))),
        ("a consistency proof that goes on", with("/proof", json!([first, second, third, third]))),
        ("two of its hashes exchanged", with("/proof", json!([first, third, second]))),
        ("one of its hashes altered", with("/proof/0", json!(second))),
        ("65 hashes of consistency", with("/proof", json!(vec![first; 65]))),
    ]
}

/// A checkpoint that was signed is altered.
fn checkpoint_inputs() -> Vec<(&'static str, Value)> {
    let (key, other) = (SigningKey::from_seed([0x42; 32]), SigningKey::from_seed([0x43; 32]));
    let name: KeyName = "coordinator.example".parse().unwrap();
    let witness: KeyName = "auditor.example/witness".parse().unwrap();
    let root = RootHash::parse(ROOTS[7]).unwrap();
    let signed = Checkpoint::new("coordinator.example/job/1", 8, root).unwrap().sign(&name, &key);
    let vkey = |name: &KeyName, key: &SigningKey| json!(NoteKey::new(name.clone(), key.verifying_key()));
    let text = signed.to_text();
    let good = json!({
        "check": "checkpoint", "key": vkey(&name, &key), "origin": "coordinator.example/job/1", "text": text,
        "seed": "42".repeat(32),
    });
    let cosigned = json!({
        "check": "checkpoint", "key": vkey(&name, &key), "origin": "coordinator.example/job/1",
        "text": signed.cosign(&witness, &other).to_text(), "cosigner": vkey(&witness, &other),
    });
    let with = |pointer: &str, value: Value| tampered(good.clone(), &[(pointer, value)]);
    let replaced = |from: &str, to: &str| {
        assert_ne!(text, text.replacen(from, to, 1), "{from}");
        with("/text", json!(text.replacen(from, to, 1)))
    };
    let another_origin = json!("coordinator.example/job/2");
    vec![
        ("a checkpoint", good.clone()),
        ("a checkpoint with a second signature", cosigned.clone()),
        (
            "a checkpoint of another log",
            json!({"check": "checkpoint", "key": GO_VKEY, "origin": "go.sum database tree", "text": GO_CHECKPOINT}),
        ),
        ("another log was asked for", with("/origin", another_origin.clone())),
        ("another origin under the signature", tampered(replaced("job/1", "job/2"), &[("/origin", another_origin)])),
        ("another size under the signature", replaced("\n8\n", "\n9\n")),
        ("another root under the signature", replaced("Xcna", "Ycna")),
        ("another signature", with("/text", json!(altered_signature(&text, 40)))),
        ("another key id in the signature line", with("/text", json!(altered_signature(&text, 0)))),
        ("another name in the signature line", replaced("— coordinator", "— participant")),
        ("a signature cut short", with("/text", json!(resized_signature(&text, 63)))),
        ("a signature that goes on", with("/text", json!(resized_signature(&text, 65)))),
        ("the right name, another key", with("/key", vkey(&name, &other))),
        ("the right key, another name", with("/key", vkey(&witness, &key))),
        ("nobody cosigned as this name", tampered(cosigned.clone(), &[("/cosigner", vkey(&name, &other))])),
        ("the cosignature altered", {
            let text = altered_signature(cosigned["text"].as_str().unwrap(), 40);
            tampered(cosigned, &[("/text", json!(text))])
        }),
        ("a bad line of the key beside a good one", {
            let line = altered_signature(&text, 40).lines().last().unwrap().to_owned();
            with("/text", json!(format!("{text}{line}\n")))
        }),
    ]
}

/// The text is no note, no checkpoint, or the key no key.
fn note_inputs() -> Vec<(&'static str, Value)> {
    let good = json!({"check": "checkpoint", "key": GO_VKEY, "origin": "go.sum database tree", "text": GO_CHECKPOINT});
    let with = |pointer: &str, value: String| tampered(good.clone(), &[(pointer, json!(value))]);
    let replaced = |from: &str, to: &str| {
        assert_ne!(GO_CHECKPOINT, GO_CHECKPOINT.replacen(from, to, 1), "{from}");
        with("/text", GO_CHECKPOINT.replacen(from, to, 1))
    };
    vec![
        ("a text of 4097 bytes", with("/text", "a".repeat(MAX_CHECKPOINT_BYTES + 1))),
        ("no text", with("/text", String::new())),
        ("no last newline", with("/text", GO_CHECKPOINT.trim_end().to_owned())),
        ("carriage returns", with("/text", GO_CHECKPOINT.replace('\n', "\r\n"))),
        ("a control character in the origin", replaced("go.sum", "go\u{7}sum")),
        ("a control character in the signature line", replaced("sum.golang", "sum\u{7}golang")),
        ("a tab after the em dash", replaced("— ", "—\t")),
        ("no empty line", replaced("\n\n", "\n")),
        ("no signature line", replaced(&GO_CHECKPOINT[GO_CHECKPOINT.find('—').unwrap()..], "")),
        ("a hyphen for the em dash", replaced("— ", "- ")),
        ("an empty name", replaced("sum.golang.org ", " ")),
        ("a signature in base64 without its padding", replaced("YQ8=\n", "YQ8\n")),
        ("a second encoding of the signature", replaced("YQ8=\n", "YQ9=\n")),
        ("a size with a zero in front", replaced("\n20852163", "\n020852163")),
        ("a size with a sign", replaced("\n20852163", "\n+20852163")),
        ("a size above 64 bits", replaced("\n20852163", "\n18446744073709551616")),
        (
            "a root of 31 bytes",
            replaced("CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=", &format!("{}A==", "A".repeat(41))),
        ),
        ("an extension line", replaced("q2I=\n", "q2I=\nextension\n")),
        ("an origin that is empty", replaced("go.sum database tree\n", "\n")),
        ("a root missing", replaced("CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n", "")),
        ("a verifier key whose id was altered", with("/key", GO_VKEY.replace("033de0ae", "033de0af"))),
        ("a verifier key whose key was altered", with("/key", GO_VKEY.replace("Ac4z", "Ac5z"))),
        ("a verifier key of another type", with("/key", GO_VKEY.replace("+Ac4z", "+Bc4z"))),
        ("a verifier key without an id", with("/key", GO_VKEY.replace("+033de0ae", ""))),
        ("a verifier key whose name has a space", with("/key", GO_VKEY.replace("golang", "go lang"))),
    ]
}

/// The text with one bit flipped in the last line's bytes: those before 4 are the key's id.
fn altered_signature(text: &str, position: usize) -> String {
    signature_bytes(text, |bytes| bytes[position] ^= 1)
}

/// The text with a signature of another length.
fn resized_signature(text: &str, length: usize) -> String {
    signature_bytes(text, |bytes| bytes.resize(4 + length, 0))
}

fn signature_bytes(text: &str, change: impl FnOnce(&mut Vec<u8>)) -> String {
    use base64ct::{Base64, Encoding};
    let (head, base64) = text.trim_end().rsplit_once(' ').unwrap();
    let mut bytes = Base64::decode_vec(base64).unwrap();
    change(&mut bytes);
    format!("{head} {}\n", Base64::encode_string(&bytes))
}

#[test]
fn the_roots_are_the_published_ones() {
    let log = log_of(&ENTRIES.map(|entry| json!(entry)));
    for (size, root) in (1..).zip(ROOTS) {
        assert_eq!(log.root_at(size).unwrap().to_string(), root);
    }
    assert_eq!(json!(log.inclusion(5, 8).unwrap()), json!(INCLUSION_5_OF_8));
    assert_eq!(json!(log.inclusion(0, 8).unwrap())[2], ROOT_OF_4_TO_8);
    assert_eq!(json!(log.inclusion(2, 3).unwrap()), json!(INCLUSION_2_OF_3));
    assert_eq!(json!(log.consistency(6, 8).unwrap()), json!(CONSISTENCY_6_TO_8));
}
