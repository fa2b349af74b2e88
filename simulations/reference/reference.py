#!/usr/bin/env python3
"""An independent check of a federated scorecard.

    python reference.py --scorecard scorecard.json --job job.toml --data a.csv b.csv c.csv --out reference.json

Reads the parties' raw rows (columns id, y, set and the features; y = 1 is bad; an empty field is missing), puts them
together, and

1. recounts goods and bads in the bins of the scorecard (suppressed bins must be below their floor), and recomputes weight of evidence and information value;
2. fits the ridge logistic regression on those weights of evidence with scikit-learn and compares coefficients, standard
   errors, and AUC and KS on the test rows;
3. builds another scorecard from nothing: ten equal-frequency bins per number, one per level, one for missing, smoothing 0.5,
   IV >= 0.02, logistic regression with C = 1, and prints its AUC and KS next to the federated ones.

Exit status: 0 when all limits hold, 1 when one does not, 2 when the input cannot be used. It shares no code with Haihe.
"""

import argparse
import json
import sys
import tomllib

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score, roc_curve

LIMITS = {
    "counts": 0.0,  # largest difference in a good or bad count
    "woe": 1e-9,  # largest difference in a weight of evidence
    "iv": 1e-9,  # largest difference in an information value
    "points": 0.5 + 1e-6,  # whole points against exact ones
    "coefficients": 1e-3,  # |a - b| / max(|b|, standard error of b)
    "standard_errors": 1e-3,  # relative
    "auc": 1e-3,
    "ks": 5e-3,
}


class Unusable(Exception):
    """The input cannot be used; the message says what to do."""


def read_rows(paths):
    """All rows as text, so that nothing is guessed about types."""
    frames = []
    for path in paths:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
        for column in ("y", "set"):
            if column not in frame:
                raise Unusable(f"{path}: column {column} is missing")
        frames.append(frame)
    rows = pd.concat(frames, ignore_index=True)
    if not rows["y"].isin(["0", "1"]).all():
        raise Unusable("column y must hold 0 or 1")
    if not rows["set"].isin(["train", "test"]).all():
        raise Unusable("column set must hold train or test")
    return rows


def read_columns(path):
    """[(name, levels or None)] from [[data.columns]] (or [[columns]]) of the job."""
    with open(path, "rb") as file:
        job = tomllib.load(file)
    columns = job.get("data", {}).get("columns") or job.get("columns")
    if not columns:
        raise Unusable(f"{path}: no [[data.columns]]")
    return [(c["name"], c.get("levels")) for c in columns]


def numbers(rows, column):
    if column not in rows:
        raise Unusable(f"the data have no column {column}")
    return pd.to_numeric(rows[column].replace("", np.nan)).to_numpy(dtype=float)


def bin_masks(rows, binning):
    """One boolean array per bin of the scorecard; together they must hold every row exactly once."""
    column, levels = binning["column"], binning["levels"]
    if column not in rows:
        raise Unusable(f"the data have no column {column}")
    text = rows[column].to_numpy()
    missing = text == ""
    masks = []
    for b in binning["bins"]:
        kind = b["kind"]
        if kind == "missing":
            masks.append(missing)
        elif "range" in kind:
            x = numbers(rows, column)
            lower, upper = kind["range"]["lower"], kind["range"]["upper"]
            above = np.ones(len(x), bool) if lower is None else x > lower
            below = np.ones(len(x), bool) if upper is None else x <= upper
            masks.append(~missing & above & below)
        else:
            mask = np.isin(text, kind["levels"]["levels"])
            if kind["levels"]["other"]:
                mask |= ~np.isin(text, levels)
            masks.append(mask & ~missing)
    if not (np.sum(masks, axis=0) == 1).all():
        raise Unusable(f"the bins of {column} do not hold every row exactly once")
    return masks


def weight_of_evidence(good, bad, total_good, total_bad, smoothing):
    """ln((good/G + e) / (bad/B + e)), e = 2 smoothing / (G + B); and its share of the information value."""
    e = 2 * smoothing / (total_good + total_bad)
    p, q = good / total_good, bad / total_bad
    woe = np.log((p + e) / (q + e))
    return woe, (p - q) * woe


def ks(y, bad_score):
    fpr, tpr, _ = roc_curve(y, bad_score)
    return float(np.max(np.abs(tpr - fpr)))


def recount(card, rows, train, y):
    """Step 1: bins from raw rows. Returns our own WOE matrix, the scorecard's, and the largest differences."""
    good_total, bad_total = float((y[train] == 0).sum()), float((y[train] == 1).sum())
    worst = {"counts": 0.0, "woe": 0.0, "iv": 0.0, "points": 0.0}
    worst["counts"] = max(abs(card["good"] - good_total), abs(card["bad"] - bad_total))
    factor = card["scaling"]["points_to_double"] / np.log(2)
    ours, theirs = [], []
    for variable in card["variables"]:
        binning = variable["binning"]
        own, stored, information = np.zeros(len(y)), np.zeros(len(y)), 0.0
        for b, mask, points in zip(binning["bins"], bin_masks(rows, binning), variable["points"], strict=True):
            good, bad = float((mask & train & (y == 0)).sum()), float((mask & train & (y == 1)).sum())
            woe, iv = weight_of_evidence(good, bad, good_total, bad_total, binning["smoothing"])
            if b["neutral"]:
                woe, iv = 0.0, 0.0
            floor = b.get("suppressed_below")
            if floor is None:
                worst["counts"] = max(worst["counts"], abs(b["good"] - good), abs(b["bad"] - bad))
            elif not b["neutral"] or b["good"] or b["bad"] or not 0 < good + bad < floor:
                raise Unusable(f"a bin of {binning['column']} is suppressed, but has counts or {floor} rows or more")
            worst["woe"] = max(worst["woe"], abs(b["woe"] - woe))
            worst["points"] = max(worst["points"], abs(points - factor * variable["coefficient"] * woe))
            information += iv
            own[mask], stored[mask] = woe, b["woe"]
        worst["iv"] = max(worst["iv"], abs(binning["iv"] - information))
        ours.append(own)
        theirs.append(stored)
    return np.column_stack(ours), np.column_stack(theirs), worst


def ridge_regression(x, good, ridge):
    """Step 2: coefficients (intercept first) and standard errors, modelling P(good)."""
    model = LogisticRegression(C=np.inf if ridge == 0 else 1 / ridge, solver="newton-cholesky", tol=1e-10, max_iter=1000)
    model.fit(x, good)
    beta = np.concatenate([model.intercept_, model.coef_[0]])
    design = np.column_stack([np.ones(len(x)), x])
    p = 1 / (1 + np.exp(-design @ beta))
    hessian = (design * (p * (1 - p))[:, None]).T @ design + ridge * np.diag([0.0] + [1.0] * x.shape[1])
    return beta, np.sqrt(np.diag(np.linalg.inv(hessian)))


def plain_scorecard(columns, rows, train, y, min_iv=0.02, bins=10):
    """Step 3: a WOE logistic regression that knows nothing of Haihe's bins. Returns kept columns and P(bad)."""
    kept, matrix = [], []
    good_total, bad_total = (y[train] == 0).sum(), (y[train] == 1).sum()
    for name, levels in columns:
        if levels is None:
            x = numbers(rows, name)
            edges = np.unique(np.nanquantile(x[train], np.linspace(0, 1, bins + 1)[1:-1])) if np.isfinite(x[train]).any() else []
            code = np.where(np.isnan(x), -1, np.searchsorted(edges, x, side="left"))
        else:
            text = rows[name].to_numpy()
            index = {level: i for i, level in enumerate(levels)}
            code = np.array([-1 if t == "" else index.get(t, len(levels)) for t in text])
        woe, information = np.zeros(len(y)), 0.0
        for c in np.unique(code):
            mask = code == c
            p = ((mask & train & (y == 0)).sum() + 0.5) / good_total
            q = ((mask & train & (y == 1)).sum() + 0.5) / bad_total
            woe[mask] = np.log(p / q)
            information += (p - q) * np.log(p / q)
        if information >= min_iv:
            kept.append(name)
            matrix.append(woe)
    if not kept:
        raise Unusable("no column reaches IV 0.02: nothing to compare with")
    x = np.column_stack(matrix)
    model = LogisticRegression(C=1.0, tol=1e-8, max_iter=1000).fit(x[train], y[train])
    return kept, model.predict_proba(x)[:, 1]


def compare(card, columns, rows):
    y = rows["y"].astype(int).to_numpy()
    train = (rows["set"] == "train").to_numpy()
    test = ~train
    if len(np.unique(y[train])) < 2 or len(np.unique(y[test])) < 2:
        raise Unusable("train and test rows must each hold goods and bads")
    x, stored, worst = recount(card, rows, train, y)

    theirs = np.array([card["intercept"]] + [v["coefficient"] for v in card["variables"]])
    their_errors = np.array([card["intercept_standard_error"]] + [v["standard_error"] for v in card["variables"]])
    beta, errors = ridge_regression(x[train], 1 - y[train], card["ridge"])
    worst["coefficients"] = float(np.max(np.abs(theirs - beta) / np.maximum(np.abs(beta), errors)))
    worst["standard_errors"] = float(np.max(np.abs(their_errors - errors) / errors))

    # Scores of badness: the negative of the log-odds of good.
    federated = -(theirs[0] + stored @ theirs[1:])
    central = -(beta[0] + x @ beta[1:])
    kept, plain = plain_scorecard(columns, rows, train, y)
    measured = {
        name: {"auc": float(roc_auc_score(y[test], s[test])), "ks": ks(y[test], s[test])}
        for name, s in [("federated", federated), ("central", central), ("plain", plain)]
    }
    worst["auc"] = abs(measured["federated"]["auc"] - measured["central"]["auc"])
    worst["ks"] = abs(measured["federated"]["ks"] - measured["central"]["ks"])
    names = ["(intercept)"] + [v["binning"]["column"] for v in card["variables"]]
    return {
        "passed": bool(all(worst[k] <= LIMITS[k] for k in LIMITS)),
        "rows": {"train": int(train.sum()), "test": int(test.sum())},
        "differences": {k: {"largest": float(worst[k]), "limit": LIMITS[k], "passed": bool(worst[k] <= LIMITS[k])} for k in LIMITS},
        "coefficients": [
            {"column": n, "federated": float(a), "central": float(b), "federated_se": float(c), "central_se": float(d)}
            for n, a, b, c, d in zip(names, theirs, beta, their_errors, errors)
        ],
        "test": measured,
        "plain_columns": kept,
    }


def show(result):
    print(f"{'coefficient':<24}{'federated':>12}{'central':>12}{'s.e.':>10}{'central':>10}")
    for c in result["coefficients"]:
        print(f"{c['column']:<24}{c['federated']:>12.6f}{c['central']:>12.6f}{c['federated_se']:>10.6f}{c['central_se']:>10.6f}")
    print(f"\n{'largest difference':<24}{'found':>12}{'limit':>12}")
    for name, d in result["differences"].items():
        print(f"{name:<24}{d['largest']:>12.2e}{d['limit']:>12.2e}  {'ok' if d['passed'] else 'EXCEEDED'}")
    print(f"\n{'test rows':<44}{'AUC':>8}{'KS':>8}")
    labels = {
        "federated": "federated scorecard",
        "central": "same bins, scikit-learn, all rows in one place",
        "plain": "plain WOE scorecard (10 bins, C = 1)",
    }
    for name, label in labels.items():
        print(f"{label:<48}{result['test'][name]['auc']:.4f}  {result['test'][name]['ks']:.4f}")
    print("\npassed" if result["passed"] else "\nFAILED")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scorecard", required=True, help="the federated scorecard (JSON)")
    parser.add_argument("--job", required=True, help="the job (TOML)")
    parser.add_argument("--data", required=True, nargs="+", help="the parties' rows (CSV, may be gzipped)")
    parser.add_argument("--out", help="where to write the result (JSON)")
    arguments = parser.parse_args()
    try:
        with open(arguments.scorecard, encoding="utf-8") as file:
            card = json.load(file)
        if card.get("version") != 1:
            raise Unusable(f"{arguments.scorecard}: version {card.get('version')} where 1 is expected")
        result = compare(card, read_columns(arguments.job), read_rows(arguments.data))
    except KeyError as field:
        print(f"reference: the scorecard or the job has no field {field}", file=sys.stderr)
        return 2
    except (Unusable, OSError, ValueError) as problem:
        print(f"reference: {problem}", file=sys.stderr)
        return 2
    show(result)
    if arguments.out:
        with open(arguments.out, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=2)
            file.write("\n")
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
