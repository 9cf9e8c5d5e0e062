"""`docs/metrics.md`."""

from __future__ import annotations

from flowrt.events import DROPS, FAULTS
from flowrt.metrics import FAMILIES, PROCESS
from flowrt.reference.markdown import code, table

_INTRODUCTION = """\
# Metrics

`flowrt run --metrics HOST:PORT` serves `/metrics` for Prometheus, in its text format or as OpenMetrics, whichever the
scraper asks for. Nothing is computed while messages pass: a scrape reads counters that the runtime keeps anyway.
[operating.md](operating.md) says which figures to alert on.

Labels are `graph`, `node` (an operation's name), `endpoint`, `model`, and one of two closed lists: the `reason` of a
drop and the `kind` of a fault. Topics and payloads never become labels. Counters start at 0 with the process; every
member of a closed list is there from the start, so that a first increase is seen as one.

"""


def figures() -> str:
    return _INTRODUCTION + "\n".join(
        [
            "## Families\n",
            table(
                ("Metric", "Type", "Labels", "What it is", "How to read it"),
                (
                    (code(family.sample_name), family.kind, _labels(family.labels), family.help, family.reading)
                    for family in FAMILIES
                ),
            ),
            "## The process\n",
            table(("Metric", "What it is"), ((code(name), text) for name, text in PROCESS.items())),
            "## Reasons of drops\n",
            table(("`reason`", "Meaning"), ((code(name), text) for name, text in DROPS.items())),
            "## Kinds of faults\n",
            table(("`kind`", "Meaning"), ((code(name), text) for name, text in FAULTS.items())),
        ]
    )


def _labels(labels: tuple[str, ...]) -> str:
    return ", ".join(map(code, labels))
