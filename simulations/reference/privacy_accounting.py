"""Epsilons of Google's accountant for privacy/vectors/dp_accounting.json.

Needs the pip package dp-accounting 0.6.0 (`pip install dp-accounting==0.6.0`) and shares no code with Haihe:

    python privacy_accounting.py > ../../privacy/vectors/dp_accounting.json

Each row: sampling rate q, noise multiplier sigma, steps, delta, and the epsilons of its PLD accountant (connect the dots,
add or remove one, interval 1e-4) and of its RDP accountant, with the seconds that the first took.
"""

import json
import sys
import time

from dp_accounting import dp_event
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant

GRID = [
    # The examples of the protocol.
    (0.01, 1.0, 10_000, 1e-6),
    (0.005, 0.8, 5_000, 1e-6),
    (0.1, 5.0, 500, 1e-6),
    (1.0, 30.0, 100, 1e-6),
    # One release, and few.
    (1.0, 1.0, 1, 1e-5),
    (1.0, 0.5, 1, 1e-6),
    (0.01, 1.0, 1, 1e-6),
    (0.5, 2.0, 1, 1e-8),
    (0.1, 0.7, 10, 1e-5),
    # Scorecards: every firm in every one of a few rounds.
    (1.0, 5.0, 10, 1e-6),
    (1.0, 10.0, 10, 1e-9),
    (1.0, 100.0, 1_000, 1e-6),
    # Networks: sampled firms in many rounds.
    (0.001, 0.6, 1_000, 1e-7),
    (0.001, 1.0, 100_000, 1e-6),
    (0.01, 0.6, 100, 1e-5),
    (0.01, 2.0, 50_000, 1e-8),
    (0.02, 1.1, 3_000, 1e-6),
    (0.05, 1.5, 1_000, 1e-6),
    (0.05, 8.0, 10_000, 1e-6),
    (0.2, 4.0, 200, 1e-7),
    (0.3, 10.0, 1_000, 1e-6),
    (0.5, 20.0, 500, 1e-10),
    (0.9, 15.0, 50, 1e-6),
    # Large and small deltas.
    (0.01, 1.0, 1_000, 1e-3),
    (0.01, 1.0, 1_000, 1e-12),
]


def row(rate, sigma, steps, delta):
    event = dp_event.GaussianDpEvent(sigma)
    if rate < 1:
        event = dp_event.PoissonSampledDpEvent(rate, event)
    start = time.perf_counter()
    pld = PLDAccountant().compose(event, steps).get_epsilon(delta)
    seconds = time.perf_counter() - start
    rdp = RdpAccountant().compose(event, steps).get_epsilon(delta)
    return {"rate": rate, "multiplier": sigma, "count": steps, "delta": delta, "pld": pld, "rdp": float(rdp), "seconds": round(seconds, 2)}


rows = []
for case in GRID:
    rows.append(row(*case))
    print(rows[-1], file=sys.stderr)
print("[\n  " + ",\n  ".join(json.dumps(r) for r in rows) + "\n]")
