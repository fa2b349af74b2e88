#!/usr/bin/env python3
"""An independent check of ONNX files.

    python check_onnx.py MODEL.onnx ...

Beside each MODEL.onnx lies MODEL.json with `inputs` and `outputs`, each a list of rows by name. The file must pass ONNX's own
checker with full shape inference, carry a model card as JSON in its metadata, and ONNX Runtime must give the same outputs, for
all rows at once and for a single one.

Exit status: 0 when every difference is at most 1e-5, 1 when one is larger, 2 when a file cannot be used.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

LIMIT = 1e-5
TYPES = {"tensor(float)": np.float32, "tensor(int32)": np.int32}


def difference(path):
    """Largest absolute difference of any output of one file."""
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    json.loads({entry.key: entry.value for entry in model.metadata_props}["haihe.model_card"])
    case = json.loads(path.with_suffix(".json").read_text())
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    inputs = {i.name: np.array(case["inputs"][i.name], TYPES[i.type]) for i in session.get_inputs()}
    names = [output.name for output in session.get_outputs()]
    if sorted(names) != sorted(case["outputs"]):
        raise ValueError(f"{path.name} has the outputs {names}")
    worst = 0.0
    for rows in (slice(None), slice(1)):
        results = session.run(names, {name: values[rows] for name, values in inputs.items()})
        for name, result in zip(names, results):
            expected = np.array(case["outputs"][name])[rows]
            if result.shape != expected.shape or not np.isfinite(result).all():
                raise ValueError(f"{path.name}: {name} has the shape {result.shape}, or a value that is not finite")
            worst = max(worst, float(np.abs(result - expected).max()))
    return worst


def main(paths):
    if not paths:
        print("name the files to check", file=sys.stderr)
        return 2
    worst = 0.0
    for path in map(Path, paths):
        try:
            found = difference(path)
        except Exception as error:  # whatever the two packages refuse the file with
            print(f"{path.name}: {error}", file=sys.stderr)
            return 2
        print(f"{path.name}: {found:.1e}")
        worst = max(worst, found)
    print(f"largest difference {worst:.1e}, at most {LIMIT:.0e} allowed")
    return 0 if worst <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
