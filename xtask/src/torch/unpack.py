"""Checks the sums of wheels and unpacks what programs need of libtorch: its CPU part, and what that part is linked with.

Arguments: the folder with the wheels, the folder to fill, the version, and FILE=SHA256 for each wheel.
"""

import hashlib
import pathlib
import shutil
import sys
import zipfile

# libtorch_cuda.so stays packed: what is linked beside it would need it, and a GPU's libraries.
LIBRARIES = {
    "torch/lib/libtorch.so",
    "torch/lib/libtorch_cpu.so",
    "torch/lib/libc10.so",
    "torch/lib/libgomp.so.1",
    "nvidia/cu13/lib/libcudart.so.13",
    "nvidia/cu13/lib/libcupti.so.13",
}


def check(wheel: pathlib.Path, expected: str) -> None:
    if not wheel.is_file():
        sys.exit(f"{wheel.name} was not downloaded: the package index offers another file for its version")
    with wheel.open("rb") as file:
        found = hashlib.file_digest(file, "sha256") if hasattr(hashlib, "file_digest") else digest(file)
    if found.hexdigest() != expected:
        sys.exit(
            f"{wheel.name} is not the file that this project knows: its SHA-256 is {found.hexdigest()}, not {expected}; "
            "try again, and if it stays so, look at the package index that pip is set up to use"
        )


def digest(file):
    found = hashlib.sha256()
    while block := file.read(1 << 20):
        found.update(block)
    return found


def place(name: str):
    """Where a file of a wheel goes; None: it is left out."""
    if name in LIBRARIES:
        return pathlib.PurePosixPath("lib", name.rsplit("/", 1)[1])
    if name.startswith("torch/include/"):
        return pathlib.PurePosixPath(name).relative_to("torch")
    if ".dist-info/" in name and name.rsplit("/", 1)[1].lower() in ("license", "license.txt", "notice"):
        folder, rest = name.split(".dist-info/", 1)
        return pathlib.PurePosixPath("licenses", folder, rest.removeprefix("licenses/"))
    return None


def unpack(wheel: pathlib.Path, out: pathlib.Path) -> set:
    unpacked = set()
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            goes = None if entry.is_dir() else place(entry.filename)
            if goes is None or ".." in goes.parts:
                continue
            target = out / goes
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(entry) as source, target.open("wb") as file:
                shutil.copyfileobj(source, file, 1 << 20)
            unpacked.add(entry.filename)
    return unpacked


def main() -> None:
    wheels, out, version = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
    sums = dict(argument.rsplit("=", 1) for argument in sys.argv[4:])
    for name, expected in sums.items():
        check(wheels / name, expected)
    unpacked = set().union(*(unpack(wheels / name, out) for name in sums))
    missing = sorted(LIBRARIES - unpacked)
    if missing:
        sys.exit(f"the wheels do not hold {', '.join(missing)}")
    # torch-sys reads it.
    (out / "build-version").write_text(f"{version}\n")


main()
