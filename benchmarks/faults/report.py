"""The table of a run: on the terminal, as JSON, and in docs/reliability.md."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.faults.ledger import Result
from benchmarks.faults.world import Scale
from benchmarks.report import machine

REPOSITORY = Path(__file__).parents[2]
PAGE = REPOSITORY / "docs/reliability.md"
RESULTS = REPOSITORY / "docs/reliability.json"
"""What the page's table is made of; a test compares the two."""
BEGIN, END = "<!-- table of `python -m benchmarks.faults --write` -->", "<!-- end of the table -->"
HEADINGS = ("fault", "system", "sent", "out", "dead letters", "lost", "doubled", "out of order", "recovered in s", "")


def summed(results: Sequence[Result]) -> list[Result]:
    """Rounds of the same row added up; the time to recover is their median."""
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        groups.setdefault((result.fault, result.system), []).append(result)
    return [_sum(group) for group in groups.values()]


def _sum(group: Sequence[Result]) -> Result:
    first = group[0]
    times = [one.recovered for one in group if one.recovered is not None]
    return Result(
        first.fault, first.title, first.system, first.seed,
        *(sum(getattr(one, name) for one in group)
          for name in ("sent", "received", "dead", "lost", "duplicated", "reordered", "bound")),
        recovered=statistics.median(times) if times else None,
        notes=tuple(note for one in group for note in one.notes),
    )  # fmt: skip


def cells(result: Result) -> tuple[str, ...]:
    recovered = "" if result.recovered is None else f"{result.recovered:.1f}"
    counts = (result.sent, result.received, result.dead, result.lost, result.duplicated, result.reordered)
    verdict = ""
    if result.system == "flowrt":
        verdict = "kept" if result.kept else "; ".join(result.notes) or "BROKEN"
    return (result.title, result.system, *(f"{count:,}" for count in counts), recovered, verdict)


def table(results: Sequence[Result]) -> str:
    """For a terminal."""
    lines = [HEADINGS, *map(cells, results)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    texts = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    texts.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(texts)


def markdown(kept: dict[str, object]) -> str:
    """For the page, of what `RESULTS` holds."""
    results = [Result(**{**row, "notes": tuple(row["notes"])}) for row in kept["rows"]]  # type: ignore[attr-defined]
    lines = [HEADINGS, ("---",) * len(HEADINGS), *map(cells, results)]
    facts = kept["machine"]
    assert isinstance(facts, dict)
    about = f"{kept['load']}; {facts['date']}, {facts['cores']} cores, {facts['processor']}; "
    about += f"{kept['rounds']} rounds, first seed {kept['seed']}."
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + f"\n\n{about}"


def save(results: Sequence[Result], rounds: int, seed: int, scale: Scale) -> None:
    """Keep the figures and put them into the page. Rows that were not run now stay as they were."""
    fresh = [asdict(result) for result in summed(results)]
    known = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
    made = {(row["fault"], row["system"]) for row in fresh}
    rows = fresh + [row for row in known if (row["fault"], row["system"]) not in made]
    from benchmarks.faults.rows import SCENARIOS

    order = {scenario.name: place for place, scenario in enumerate(SCENARIOS)}
    titles = {scenario.name: scenario.title for scenario in SCENARIOS}
    rows = [{**row, "title": titles[row["fault"]]} for row in rows if row["fault"] in order]
    rows.sort(key=lambda row: (order[row["fault"]], row["system"] != "flowrt"))
    load = f"{scale.messages} messages a row, outages of {scale.outage:g} s"
    kept = {"machine": machine(), "load": load, "rounds": rounds, "seed": seed, "rows": rows}
    RESULTS.write_text(json.dumps(kept, indent=1) + "\n")
    text = PAGE.read_text()
    before, rest = text.split(BEGIN, 1)
    PAGE.write_text(f"{before}{BEGIN}\n{markdown(kept)}\n{END}{rest.split(END, 1)[1]}")
