"""Helper of scripts/score: figures of lead 1, and every figure held against its aim.

    score_check.py lead1 DATA TASK FORECASTS          WAPE of lead 1 by series, JSON on stdout
    score_check.py check OUT AIMS.csv [--aims] PAIRS  prints coverage by series and the
                                                      table, fails as scripts/score says
"""

import csv
import json
import sys
from pathlib import Path

NOISE = 0.03
COVERAGE_NOISE = 0.015


def stamp(text):
    text = text.replace("T", " ")
    return text if len(text) > 10 else f"{text} 00:00:00"


def lead1(data, task, forecasts):
    task = json.loads((Path(data) / "tasks" / f"{task}.json").read_text())
    with open(Path(data) / "data" / task["file"], newline="") as file:
        truth = {(row["series"], stamp(row["timestamp"])): row["value"] for row in csv.DictReader(file)}
    missed, whole, seen = {}, {}, set()
    with open(forecasts, newline="") as file:
        for row in csv.DictReader(file):
            key = (row["series"], row["origin"])
            value = truth.get((row["series"], stamp(row["timestamp"])))
            if key in seen:
                continue
            seen.add(key)  # rows of an origin are in time order
            if value:
                series = row["series"]
                missed[series] = missed.get(series, 0.0) + abs(float(value) - float(row["q50"]))
                whole[series] = whole.get(series, 0.0) + abs(float(value))
    return {series: missed[series] / whole[series] for series in missed if whole[series] > 0}


def figure(out, pair, name):
    """`WAPE`, `VOL_WAPE`, `COV80` of all series; `WAPE/SERIES` of one; `D1/SERIES` at lead 1."""
    base = Path(out) / pair.replace(":", ".")
    kind, _, series = name.partition("/")
    if kind == "D1":
        return json.loads(Path(f"{base}.lead1.json").read_text())[series]
    scores = json.loads(Path(f"{base}.json").read_text())
    return scores["series"][series][kind] if series else scores["macro"][kind]


def coverages(out, pairs):
    """Prints how much of the truths the bands of each series held, widest from 80 % first."""
    print(f"\n{'task':<20}{'series':>7}{'within 77-83':>14}{'mean':>7}{'mean distance':>15}")
    for pair in pairs:
        scores = json.loads(Path(f"{Path(out) / pair.replace(':', '.')}.json").read_text())["series"]
        held = {series: scores[series]["COV80"] for series in scores}
        within = sum(0.77 <= value <= 0.83 for value in held.values())
        mean = sum(held.values()) / len(held)
        distance = sum(abs(value - 0.8) for value in held.values()) / len(held)
        print(f"{pair:<20}{len(held):>7}{within:>14}{100 * mean:>7.1f}{100 * distance:>15.1f}")
        for series, value in sorted(held.items(), key=lambda item: -abs(item[1] - 0.8)):
            mark = "" if 0.77 <= value <= 0.83 else "  outside"
            print(f"    {series:<40}{100 * value:>6.1f}{mark}")


def check(out, aims, strict, pairs):
    worse, missed = [], []
    print(f"\n{'task':<20}{'figure':<16}{'here':>8}{'held':>8}{'aim':>9}{'peer':>7}")
    with open(aims, newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["task"] in pairs]
    for row in rows:
        here, held = figure(out, row["task"], row["figure"]), float(row["held"]) / 100
        if row["figure"].startswith("COV80"):
            low, high = (float(v) / 100 for v in row["aim"].split("-"))
            is_met = low <= here <= high
            is_worse = abs(here - 0.8) > abs(held - 0.8) + COVERAGE_NOISE
        else:
            is_met = here <= float(row["aim"]) / 100
            is_worse = here > held * (1 + NOISE)
        name = f"{row['task']} {row['figure']}"
        if is_worse:
            worse.append(f"{name}: {100 * here:.2f} % against {100 * held:.2f} % held")
        if not is_met:
            missed.append(f"{name}: {100 * here:.2f} % where the aim is {row['aim']} %")
        mark = "" if is_met else "  aim missed"
        print(f"{row['task']:<20}{row['figure']:<16}{100 * here:>8.2f}{100 * held:>8.2f}{row['aim']:>9}{row['peer']:>7}{mark}")
    for line in worse:
        print(f"worse: {line}", file=sys.stderr)
    if strict:
        for line in missed:
            print(f"aim missed: {line}", file=sys.stderr)
    if not rows:
        sys.exit(f"{aims}: no line names any of {' '.join(pairs)}")
    sys.exit(bool(worse or (strict and missed)))


def main():
    command, *rest = sys.argv[1:]
    if command == "lead1":
        print(json.dumps(lead1(*rest)))
    else:
        out, aims, *words = rest
        pairs = [w for w in words if ":" in w]
        coverages(out, pairs)
        check(out, aims, "--aims" in words, pairs)


main()
