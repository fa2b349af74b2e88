//! `cargo xtask libtorch`: the libtorch that the feature `torch` is built with, and how cargo and the programs find it.

use std::{
    env, fs,
    fs::{File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};

use crate::process::{Workspace, say, step, works};

/// The version that the code in `tch` is generated for: see `tch` in the workspace's Cargo.toml.
const VERSION: &str = "2.13.0";
/// The versions with the same interface.
const SERIES: &str = "2.13.";
/// What the wheels take while they are downloaded (pip keeps a copy meanwhile) and unpacked.
const SPACE: u64 = 1_600_000_000;
/// Where the loader looks for libraries first.
const SEARCH: &str = if cfg!(target_os = "macos") { "DYLD_LIBRARY_PATH" } else { "LD_LIBRARY_PATH" };
const ELSEWHERE: &str = "set LIBTORCH to a libtorch 2.13.0";

/// A file of the package index. The sums are those of the files that this project was tested with.
struct Wheel {
    package: &'static str,
    version: &'static str,
    file: &'static str,
    sha256: &'static str,
}

/// libtorch, and the two libraries that its CPU part is linked with.
const WHEELS: [Wheel; 3] = [
    Wheel {
        package: "torch",
        version: VERSION,
        file: "torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl",
        sha256: "60fcdcb2f3876e21146cb4524ef06397d727ca9ad5f020818547e25075fe3cb7",
    },
    Wheel {
        package: "nvidia-cuda-runtime",
        version: "13.0.96",
        file: "nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        sha256: "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
    },
    Wheel {
        package: "nvidia-cuda-cupti",
        version: "13.0.85",
        file: "nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl",
        sha256: "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
    },
];

/// Which files pip takes, whatever the Python that it runs under.
const PLATFORM: [&str; 14] = [
    "--implementation",
    "cp",
    "--python-version",
    "3.11",
    "--abi",
    "cp311",
    "--platform",
    "manylinux_2_28_x86_64",
    "--platform",
    "manylinux_2_25_x86_64",
    "--platform",
    "manylinux_2_17_x86_64",
    "--platform",
    "manylinux2014_x86_64",
];

/// `cargo xtask libtorch`. With `print`, standard output has the lines that set a shell up to build and run by hand.
pub fn libtorch(workspace: &Workspace, print: bool) -> Result<()> {
    let folder = fetch(workspace)?;
    if print {
        for (name, value) in variables(&folder, &[])? {
            // The shell's own search path follows, not that of cargo, which this program runs under.
            let others = if name == SEARCH { format!("${{{SEARCH}:+:${SEARCH}}}") } else { String::new() };
            println!("export {name}='{}'{others}", value.replace('\'', r"'\''"));
        }
    } else {
        say(&format!("libtorch {} is in {}", version(&folder)?, folder.display()));
    }
    Ok(())
}

/// What a cargo command with the feature `torch`, and a program that was built with it, need in their environment. An error if
/// libtorch is not there: nothing is downloaded.
pub fn environment(workspace: &Workspace) -> Result<Vec<(String, String)>> {
    let Some(folder) = installed(workspace)? else {
        bail!(
            "libtorch {VERSION} is not there: run `cargo xtask libtorch` (a download of 540 MB, once), or {ELSEWHERE}"
        );
    };
    let others = env::var_os(SEARCH).unwrap_or_default();
    variables(&folder, &env::split_paths(&others).collect::<Vec<_>>())
}

/// The folder of libtorch: the one that LIBTORCH names, else that of the cache; `None` if it must be fetched first.
pub fn installed(workspace: &Workspace) -> Result<Option<PathBuf>> {
    if let Some(own) = env::var_os("LIBTORCH").filter(|own| !own.is_empty()) {
        let own = workspace.root.join(own);
        let found = version(&own)?;
        ensure!(
            found.starts_with(SERIES),
            "LIBTORCH={} is libtorch {found}, and this project is built with {SERIES}x: set it to one of those, or unset it and run \
             `cargo xtask libtorch`",
            own.display()
        );
        return Ok(Some(own));
    }
    let folder = cache()?.join(folder_name());
    Ok(complete(&folder).then_some(folder))
}

/// The folder of libtorch, downloaded if it is not there.
fn fetch(workspace: &Workspace) -> Result<PathBuf> {
    if let Some(folder) = installed(workspace)? {
        say(&format!("libtorch {VERSION} is there already; nothing is downloaded"));
        return Ok(folder);
    }
    ensure!(
        cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")),
        "libtorch is only fetched for Linux on x86_64 with glibc; here, {ELSEWHERE}"
    );
    let cache = cache()?;
    fs::create_dir_all(&cache).with_context(|| format!("cannot create {}", cache.display()))?;
    let _lock = lock(&cache.join("libtorch.lock"))?;
    let folder = cache.join(folder_name());
    // Another checkout may have been faster.
    if !complete(&folder) {
        let part = cache.join(format!("{}.part", folder_name()));
        // Of a run that was killed.
        remove(&part)?;
        let assembled = assemble(workspace, &part, &folder);
        remove(&part)?;
        assembled?;
    }
    Ok(folder)
}

/// Downloads, checks and unpacks into `part`, and moves the result to `folder` once it is complete.
fn assemble(workspace: &Workspace, part: &Path, folder: &Path) -> Result<()> {
    let (wheels, fresh) = (part.join("wheels"), part.join("libtorch"));
    fs::create_dir_all(&wheels)?;
    python(workspace, part)?;
    let mut pip = workspace.command("python3");
    pip.args(["-m", "pip", "download", "--disable-pip-version-check", "--no-cache-dir", "--no-deps"]);
    pip.args(["--only-binary=:all:", "--dest"]).arg(&wheels).args(PLATFORM);
    pip.args(WHEELS.iter().map(|w| format!("{}=={}", w.package, w.version)));
    // pip's own temporary files then lie where the space was checked, and go with the folder.
    step("downloading libtorch (540 MB, once)", pip.env("TMPDIR", part)).with_context(|| {
        format!("libtorch was not downloaded: pip needs access to a package index; without one, {ELSEWHERE}")
    })?;
    unpack(workspace, &wheels, &fresh, &WHEELS)?;
    remove(folder)?;
    fs::rename(&fresh, folder).with_context(|| format!("cannot move libtorch to {}", folder.display()))
}

/// Checks the sums and unpacks.
fn unpack(workspace: &Workspace, wheels: &Path, out: &Path, expected: &[Wheel]) -> Result<()> {
    let mut python = workspace.command("python3");
    python.args(["-I", "-c", include_str!("torch/unpack.py")]).arg(wheels).arg(out).arg(VERSION);
    python.args(expected.iter().map(|w| format!("{}={}", w.file, w.sha256)));
    say("checking and unpacking libtorch");
    let output = python.output().context("cannot start python3")?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "libtorch cannot be used: {}",
        words.trim().lines().last().unwrap_or("no reason given")
    );
    Ok(())
}

/// Whether Python, pip and the disk can do what is asked of them.
fn python(workspace: &Workspace, folder: &Path) -> Result<()> {
    let mut space = workspace.command("python3");
    space.args(["-I", "-c", "import shutil, sys; print(shutil.disk_usage(sys.argv[1]).free)"]).arg(folder);
    let space = space.output().ok().filter(|output| output.status.success());
    let space = space.with_context(|| format!("Python 3 is needed to fetch libtorch: install it, or {ELSEWHERE}"))?;
    ensure!(
        works(workspace.command("python3").args(["-m", "pip", "--version"])),
        "pip is needed to fetch libtorch: `python3 -m ensurepip` or the package python3-pip installs it; or {ELSEWHERE}"
    );
    let free: u64 = String::from_utf8_lossy(&space.stdout).trim().parse().unwrap_or(u64::MAX);
    ensure!(
        free >= SPACE,
        "{} has {} MB left, and fetching libtorch takes {} MB (480 MB stay): make room, or set XDG_CACHE_HOME to a folder elsewhere",
        folder.parent().unwrap_or(folder).display(),
        free / 1_000_000,
        SPACE / 1_000_000
    );
    Ok(())
}

/// The lock is let go when the file is closed, and thus by the system if this program is killed.
fn lock(path: &Path) -> Result<File> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            say("another `cargo xtask libtorch` is at work: waiting for it");
            file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        }
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("cannot lock {}", path.display()));
        }
    }
    Ok(file)
}

/// What to set for a libtorch in this folder; `others` are searched for libraries after it.
fn variables(folder: &Path, others: &[PathBuf]) -> Result<Vec<(String, String)>> {
    let text =
        |path: &Path| path.to_str().map(str::to_owned).with_context(|| format!("{} is not UTF-8", path.display()));
    let lib = folder.join("lib");
    let others = others.iter().filter(|other| **other != lib && !other.as_os_str().is_empty());
    let paths = env::join_paths([&lib].into_iter().chain(others)).context("a library path holds a separator")?;
    let mut variables = vec![("LIBTORCH".to_owned(), text(folder)?), (SEARCH.to_owned(), text(Path::new(&paths))?)];
    // torch-sys takes only the first of the series; its patches keep the interface.
    if version(folder)? != VERSION {
        variables.push(("LIBTORCH_BYPASS_VERSION_CHECK".to_owned(), "1".to_owned()));
    }
    Ok(variables)
}

/// The version of the libtorch in this folder, without what follows a `+`: an unpacked archive has it in `build-version`, the
/// folder `torch` of a Python environment in `version.py`.
fn version(folder: &Path) -> Result<String> {
    let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
    let found = read("build-version").or_else(|| {
        let python = read("version.py")?;
        let line = python.lines().find(|line| line.starts_with("__version__"))?;
        Some(line.split(['\'', '"']).nth(1)?.to_owned())
    });
    let found = found.filter(|_| folder.join("lib").is_dir() && folder.join("include").is_dir());
    let found = found.with_context(|| {
        format!(
            "{} is no libtorch: it has no `build-version` (or `version.py`), `lib` or `include`; {ELSEWHERE}, or unset it and run \
             `cargo xtask libtorch`",
            folder.display()
        )
    })?;
    Ok(found.trim().split('+').next().unwrap_or_default().to_owned())
}

/// Only a whole folder is ever moved to its place: this sees what people removed since.
fn complete(folder: &Path) -> bool {
    let libraries =
        ["libtorch.so", "libtorch_cpu.so", "libc10.so", "libgomp.so.1", "libcudart.so.13", "libcupti.so.13"];
    let all = libraries.iter().all(|name| folder.join("lib").join(name).is_file());
    all && version(folder).is_ok_and(|found| found == VERSION)
}

fn folder_name() -> String {
    format!("libtorch-{VERSION}-cpu")
}

/// The folder that all checkouts share.
fn cache() -> Result<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    Ok(cache.context("neither XDG_CACHE_HOME nor HOME is set: there is no place for libtorch")?.join("haihe"))
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let folder = env::temp_dir().join(format!("haihe-xtask-torch-{name}-{}", std::process::id()));
        remove(&folder).expect("removed");
        fs::create_dir_all(&folder).expect("created");
        folder
    }

    fn libtorch_of(folder: &Path, file: &str, text: &str) {
        for part in ["lib", "include"] {
            fs::create_dir_all(folder.join(part)).expect("created");
        }
        fs::write(folder.join(file), text).expect("written");
    }

    #[test]
    fn a_version_is_read_from_an_archive_and_from_a_python_environment() {
        let folder = scratch("version");
        assert!(version(&folder).expect_err("empty").to_string().contains("is no libtorch"));
        libtorch_of(
            &folder,
            "version.py",
            "from typing import Optional\n__version__ = '2.13.1+cu130'\ndebug = False\n",
        );
        assert_eq!(version(&folder).expect("read"), "2.13.1");
        let set = variables(&folder, &["/a".into(), folder.join("lib")]).expect("set");
        assert_eq!(set[0], ("LIBTORCH".to_owned(), folder.to_str().expect("UTF-8").to_owned()));
        assert_eq!(set[1].1, format!("{}:/a", folder.join("lib").display()));
        assert_eq!(set[2].0, "LIBTORCH_BYPASS_VERSION_CHECK");
        libtorch_of(&folder, "build-version", "2.13.0+cpu\n");
        assert_eq!(version(&folder).expect("read"), "2.13.0");
        assert_eq!(variables(&folder, &[]).expect("set").len(), 2);
        assert!(!complete(&folder), "it has no libraries");
        remove(&folder).expect("removed");
    }

    #[test]
    fn a_wheel_with_another_sum_is_refused_and_a_whole_one_unpacked() {
        let folder = scratch("unpack");
        let (wheels, out) = (folder.join("wheels"), folder.join("out"));
        fs::create_dir_all(&wheels).expect("created");
        let workspace = Workspace { root: folder.clone(), target: folder.join("target") };
        let make = "import sys, zipfile\nfile = zipfile.ZipFile(sys.argv[1], 'w')\nfor n in sys.argv[2:]: file.writestr(n, n)\n";
        let names = ["torch/lib/libtorch.so", "torch/lib/libtorch_cuda.so", "torch/include/a/b.h", "torch/x.py"];
        let mut python = workspace.command("python3");
        assert!(works(python.args(["-I", "-c", make]).arg(wheels.join("a.whl")).args(names)), "python3 makes a wheel");
        let mut wheel = Wheel { package: "a", version: "1", file: "a.whl", sha256: "00" };
        let error = unpack(&workspace, &wheels, &out, &[wheel]).expect_err("another sum").to_string();
        assert!(error.contains("a.whl is not the file that this project knows") && !out.exists(), "{error}");
        let sum = error.split_once("its SHA-256 is ").and_then(|(_, rest)| rest.split(',').next()).expect("a sum");
        wheel = Wheel { package: "a", version: "1", file: "a.whl", sha256: Box::leak(sum.to_owned().into_boxed_str()) };
        let error = unpack(&workspace, &wheels, &out, &[wheel]).expect_err("libraries are missing").to_string();
        assert!(error.contains("do not hold") && error.contains("libtorch_cpu.so"), "{error}");
        assert!(out.join("lib/libtorch.so").is_file() && out.join("include/a/b.h").is_file());
        assert!(!out.join("lib/libtorch_cuda.so").exists() && !out.join("build-version").exists());
        remove(&folder).expect("removed");
    }

    #[test]
    fn two_do_not_fetch_at_once() {
        let folder = scratch("lock");
        let held = lock(&folder.join("lock")).expect("locked");
        let other = File::open(folder.join("lock")).expect("there");
        assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
        drop(held);
        other.try_lock().expect("free again");
        remove(&folder).expect("removed");
    }
}
