//! linear: inner products with an encrypted vector, message by message, each by its digest.

use super::{Answer, array, number, read, words};
use haihe_privacy::Digest;
use haihe_privacy::linear::{
    EncodedMatrix, EncryptedVector, KeyPair, LinearParameters, Masking, PublicKey, Response, Tiling, centre, multiply,
    unmask,
};
use serde_json::{Value, json};
use std::num::NonZeroUsize;

pub fn linear(input: &Value) -> Answer {
    let rows = number(&input["rows"]);
    let tiling = match input.get("block") {
        Some(block) => Tiling::new(rows, number(block)),
        None => Tiling::choose(rows, &read::<Vec<usize>>(&input["holders"])?),
    };
    let tiling = tiling.map_err(words)?;
    let (entry, multiplier) = (number(&input["largest_entry"]), number(&input["largest_multiplier"]));
    let parameters = LinearParameters::new(tiling, entry, multiplier).map_err(words)?;
    let shape = json!({
        "block": tiling.block(), "vector_bytes": tiling.vector_bytes(), "flooding_bits": parameters.flooding_bits(),
        "largest_multiplier": LinearParameters::largest_multiplier(rows, entry),
    });
    if input.get("d").is_none() {
        return Ok(shape);
    }
    exchange(input, &parameters, shape)
}

/// All messages of one product.
fn exchange(input: &Value, parameters: &LinearParameters, shape: Value) -> Answer {
    let keys = KeyPair::derive(&array(&input["key_seed"]));
    let context: Digest = read(&input["context"])?;
    let vector = keys.encrypt(parameters, &read::<Vec<i64>>(&input["d"])?, &context).map_err(words)?;
    let key = altered(keys.public_key().to_bytes(), &input["public_key"]);
    let sent = altered(vector.to_bytes(), &input["vector"]);

    let columns: Vec<Vec<i32>> = read(&input["columns"])?;
    let public = PublicKey::from_bytes(&key).map_err(words)?;
    let received = EncryptedVector::from_bytes(parameters, &context, &sent).map_err(words)?;
    let mut of_matrix = *parameters;
    if let Some(block) = input.get("block_of_the_matrix") {
        let tiling = Tiling::new(parameters.tiling().rows(), number(block)).map_err(words)?;
        of_matrix =
            LinearParameters::new(tiling, parameters.largest_entry(), parameters.multiplier_bound()).map_err(words)?;
    }
    let matrix = EncodedMatrix::new(&of_matrix, &columns, usize::MAX).map_err(words)?;
    let masking = if input["masked"] == json!(true) { Masking::Uniform } else { Masking::None };
    let seed = array(&input["seed"]);
    let (response, masks) = multiply(&matrix, &received, &public, &seed, masking, NonZeroUsize::MIN).map_err(words)?;

    let back = altered(response.to_bytes(), &input["response"]);
    let announced = input.get("announced_columns").map_or(columns.len(), number);
    let response = Response::from_bytes(parameters, announced, &back).map_err(words)?;
    let values = keys.decrypt(&response);
    let products: Vec<i64> = values.iter().zip(&masks).map(|(&value, &mask)| centre(unmask(value, mask))).collect();
    let messages = [&key, &sent, &back].map(|bytes| Digest::of_content(bytes));
    Ok(json!({
        "shape": shape, "public_key": messages[0], "vector": messages[1], "response": messages[2],
        "values": values, "masks": masks, "products": products,
    }))
}

/// A message as it is, cut to a length, or with eight bytes set at a position.
fn altered(mut bytes: Vec<u8>, change: &Value) -> Vec<u8> {
    if let Some(length) = change.get("length") {
        bytes.resize(number(length), 0);
    }
    if let Some(position) = change.get("set") {
        bytes[number::<usize>(position)..][..8].fill(0xff);
    }
    bytes
}

pub fn linear_inputs() -> Vec<(&'static str, Value)> {
    let good = json!({
        "rows": 5, "block": 4, "largest_entry": 1000, "largest_multiplier": 1_000_000,
        "key_seed": "01".repeat(32), "context": "02".repeat(32), "seed": "03".repeat(32), "masked": true,
        "d": [1_000_000, -1_000_000, 0, 7, -7],
        "columns": [[1000, -1000, 1, 1, 1], [0, 0, 0, 0, 0], [-1, -2, -3, -4, -5]],
    });
    let with = |name: &str, value: Value| {
        let mut input = good.clone();
        input[name] = value;
        input
    };
    let shape = |rows: u64, holders: &[u64], entry: u64, multiplier: u64| json!({"rows": rows, "holders": holders, "largest_entry": entry, "largest_multiplier": multiplier});
    let tiny = json!({"rows": 1 << 26, "block": 1, "largest_entry": 1 << 20, "largest_multiplier": 1});
    vec![
        ("three masked products", good.clone()),
        ("counts without masks", with("masked", json!(false))),
        ("a whole polynomial for each column", with("block", json!(8192))),
        ("a chosen tiling", shape(21_000, &[10], 32_767, 1_000_000)),
        ("a tiling for three holders", shape(21_000, &[300, 3, 40], 32_767, 1_000_000)),
        ("no rows", with("rows", json!(0))),
        ("a block that is no power of two", with("block", json!(5))),
        ("a holder without columns", shape(21_000, &[10, 0], 32_767, 1)),
        ("products that are too large", shape(21_000, &[10], 32_767, 1_636_228)),
        ("a bound of zero", shape(21_000, &[10], 0, 1)),
        ("noise that cannot be hidden", tiny),
        ("a multiplier missing", with("d", json!([1, 2, 3, 4]))),
        ("a multiplier that is too large", with("d", json!([1, 2, 3, -1_000_001, 5]))),
        ("an entry missing", with("columns", json!([[1, 2, 3, 4]]))),
        ("an entry that is too large", with("columns", json!([[0, 0, 0, 0, 0], [0, 0, 0, 0, -1001]]))),
        ("no columns", with("columns", json!([]))),
        ("a matrix for another tiling", with("block_of_the_matrix", json!(8))),
        ("a public key cut short", with("public_key", json!({"length": 153_631}))),
        ("a public key with a residue that is not reduced", with("public_key", json!({"set": 32}))),
        ("a vector with a byte too many", with("vector", json!({"length": 307_201}))),
        ("a vector with a residue that is not reduced", with("vector", json!({"set": 204_800}))),
        ("a response cut short", with("response", json!({"length": 65_559}))),
        ("a response for another number of columns", with("announced_columns", json!(4))),
        ("a response for no columns", with("announced_columns", json!(0))),
    ]
}
