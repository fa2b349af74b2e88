//! `haihe-fuzz`: names of the targets, their first inputs, and one input by itself.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result, bail};
use haihe_fuzz::{TARGETS, find, kept};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let target = |name: &str| find(name).with_context(|| format!("there is no target {name:?}; see `haihe-fuzz list`"));
    match words.as_slice() {
        ["list"] => TARGETS.iter().for_each(|t| println!("{}", t.name)),
        ["seeds", name, folder] => {
            let (target, folder) = (target(name)?, PathBuf::from(folder));
            fs::create_dir_all(&folder)?;
            for (number, seed) in (target.seeds)().iter().enumerate() {
                fs::write(folder.join(format!("seed-{number:03}")), seed)?;
            }
            for (name, input) in kept(target)? {
                fs::write(folder.join(format!("kept-{name}")), input)?;
            }
        }
        // What libFuzzer leaves is binary; what is kept is hexadecimal.
        ["keep", name, from, to] => {
            let folder = haihe_fuzz::corpus(target(name)?);
            fs::create_dir_all(&folder)?;
            fs::write(folder.join(format!("{to}.hex")), hex::encode(fs::read(from)?))?;
        }
        ["one", name, path] => {
            let bytes = fs::read(path)?;
            let is_hex = path.ends_with(".hex");
            let input = if is_hex { hex::decode(String::from_utf8(bytes)?.trim())? } else { bytes };
            (target(name)?.run)(&input);
        }
        _ => bail!("haihe-fuzz list | seeds TARGET FOLDER | one TARGET FILE | keep TARGET FILE NAME"),
    }
    Ok(())
}
