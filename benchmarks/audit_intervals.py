"""How often the audit's 95 % intervals hold the truth, on invented labels whose truth is known.

Each line audits other data many times, from the draw to ``label_audit``: precision of the whole question, precision and
recall of single labels, and, for comparison, the interval of all drawn images counted alike.

    python benchmarks/audit_intervals.py [--audits 300]
"""

from __future__ import annotations

import argparse

import numpy as np

from biomedica_assets.lib.annotate.trials import TRIALS, coverage

NAMES = ("whole", "precision", "recall", "unweighted")


def main() -> None:
    """Audit and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audits", type=int, default=300, help="audits per line")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(f"share of 95 % intervals that hold the truth, {args.audits} audits a line")
    print(f"{'images':>7}{'per label':>11}{'labels right':>15}{'drawn':>7}" + "".join(f"{n:>12}" for n in NAMES))
    found: list[dict[str, float]] = []
    for trial in TRIALS:
        found.append(coverage(trial, args.audits, args.seed))
        right = f"{trial.worst:.2f}-{trial.best:.2f}"
        print(
            f"{trial.images:>7}{trial.per_label:>11}{right:>15}{found[-1]['images']:>7.0f}"
            + "".join(f"{found[-1][name]:>12.3f}" for name in NAMES),
            flush=True,
        )
    print(f"{'mean':>40}" + "".join(f"{np.mean([one[name] for one in found]):>12.3f}" for name in NAMES))


if __name__ == "__main__":
    main()
