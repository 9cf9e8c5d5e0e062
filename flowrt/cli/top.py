"""`flowrt top`: the nodes of a running runtime, live: rate, latency, use of their quotas, queue, faults.

It reads /metrics, so the runtime may be another machine's.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from urllib.error import URLError
from urllib.request import Request, urlopen

from flowrt.errors import StartError
from flowrt.logs.rendering import escaped
from flowrt.quota.quantity import format_bytes, format_cores
from flowrt.values import Struct

ADDRESS = "127.0.0.1:9090"
TIMEOUT_SECONDS = 5.0
PAGE_BYTES = 16 << 20
NAME_WIDTH = 32
_HEADING = (
    f"{'NODE':<{NAME_WIDTH}}{'IN/s':>9}{'OUT/s':>9}{'BATCH ms':>10}{'CPU':>7}{'/ QUOTA':>9}{'WAITS':>7}"
    f"{'MEMORY':>10}{'/ QUOTA':>9}{'QUEUE':>8}{'FAULTS':>8}{'DROPS':>8}"
)
_CLEAR, _BOLD, _RED, _YELLOW, _PLAIN = "\x1b[H\x1b[J", "\x1b[1m", "\x1b[31m", "\x1b[33m", "\x1b[0m"

Samples = Mapping[tuple[str, tuple[tuple[str, str], ...]], float]
"""By name and sorted labels."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "address", nargs="?", default=ADDRESS, metavar="HOST:PORT|URL", help="where --metrics was told to serve"
    )
    parser.add_argument("--interval", type=float, default=1.0, metavar="SECONDS", help="between looks (default 1)")
    parser.add_argument("--once", action="store_true", help="print one table and end")


def run(options: argparse.Namespace) -> int:
    """Until it is interrupted. Raises `StartError` when there is nobody to ask."""
    from flowrt.metrics import parsed

    url = options.address if "://" in options.address else f"http://{options.address}"
    interval = max(options.interval, 0.1)
    try:
        before, at = parsed(_page(url)), time.monotonic()
        while True:
            time.sleep(interval)
            now, then = parsed(_page(url)), at
            at = time.monotonic()
            _show(rows(before, now, at - then), url, once=options.once)
            if options.once:
                return 0
            before = now
    except KeyboardInterrupt:
        return 0


class Row(Struct, frozen=True):
    """One node over the last interval. None where it does not apply."""

    graph: str
    node: str
    received: float
    """Messages a second."""
    emitted: float
    batch: float | None
    """Seconds a batch took on average."""
    cpu: float
    """Cores."""
    cpu_limit: float | None
    waits: float
    """Part of the time that it waited because of a quota."""
    memory: float
    memory_limit: float | None
    queue: float | None
    """Messages waiting."""
    faults: float
    """Messages, since the start."""
    drops: float
    """Messages dropped without having been filtered, since the start."""
    disabled: bool


def rows(before: Samples, now: Samples, seconds: float) -> list[Row]:
    """What happened between two looks, a row a node, in the order of the page."""
    nodes = [
        (dict(labels)["graph"], dict(labels)["node"]) for name, labels in now
        if name == "flowrt_node_received_messages_total"
    ]  # fmt: skip
    return [_row(graph, node, before, now, max(seconds, 1e-3)) for graph, node in nodes]


def table(found: Sequence[Row], *, colour: bool = False) -> list[str]:
    """Lines, the heading first. Names from the other side are escaped."""
    lines = [f"{_BOLD}{_HEADING}{_PLAIN}" if colour else _HEADING]
    for row in found:
        text = _line(row)
        paint = _RED if row.disabled else _YELLOW if _pressed(row) else ""
        lines.append(f"{paint}{text}{_PLAIN}" if colour and paint else text)
    return lines


def _row(graph: str, node: str, before: Samples, now: Samples, seconds: float) -> Row:
    own = (("graph", graph), ("node", node))

    def value(name: str) -> float | None:
        return now.get((name, own))

    def rate(name: str) -> float:
        return max(0.0, now.get((name, own), 0.0) - before.get((name, own), 0.0)) / seconds

    def total(name: str, leaving_out: str = "") -> float:
        return sum(
            count for (sample, labels), count in now.items()
            if sample == name and {*own} <= {*labels} and leaving_out not in dict(labels).values()
        )  # fmt: skip

    batches = rate("flowrt_node_processing_seconds_count")
    throttled = ("flowrt_node_cpu_throttled_seconds_total", "flowrt_node_rate_throttled_seconds_total")
    return Row(
        graph,
        node,
        rate("flowrt_node_received_messages_total"),
        rate("flowrt_node_emitted_messages_total"),
        rate("flowrt_node_processing_seconds_sum") / batches if batches else None,
        rate("flowrt_node_cpu_seconds_total"),
        value("flowrt_node_cpu_limit_cores"),
        min(1.0, sum(map(rate, throttled))),
        value("flowrt_node_memory_bytes") or 0.0,
        value("flowrt_node_memory_limit_bytes"),
        value("flowrt_node_waiting_messages"),
        total("flowrt_node_faulted_messages_total"),
        total("flowrt_node_dropped_messages_total", "filtered"),
        bool(value("flowrt_node_disabled")),
    )


def _line(row: Row) -> str:
    name = escaped(f"{row.graph}/{row.node}")
    name = name if len(name) < NAME_WIDTH else name[: NAME_WIDTH - 2] + "…"
    batch = "-" if row.batch is None else f"{row.batch * 1000:.2f}"
    share = "-" if row.cpu_limit is None else format_cores(row.cpu_limit)
    quota = "-" if row.memory_limit is None else format_bytes(row.memory_limit)
    queue = "-" if row.queue is None else f"{row.queue:.0f}"
    memory = format_bytes(row.memory) if row.memory else "-"
    return (
        f"{name:<{NAME_WIDTH}}{row.received:9.0f}{row.emitted:9.0f}{batch:>10}{row.cpu * 1000:6.0f}m{share:>9}"
        f"{row.waits:7.0%}{memory:>10}{quota:>9}{queue:>8}{row.faults:8.0f}{row.drops:8.0f}"
        + ("  switched off" if row.disabled else "")
    )


def _pressed(row: Row) -> bool:
    """Whether a quota is felt."""
    return row.waits > 0.05 or (row.memory_limit is not None and row.memory > 0.9 * row.memory_limit)


def _show(found: Sequence[Row], url: str, *, once: bool) -> None:
    live = sys.stdout.isatty() and not once
    lines = table(found, colour=live)
    if live:
        size = shutil.get_terminal_size()
        sys.stdout.write(f"{_CLEAR}{url}  {time.strftime('%H:%M:%S')}\n")
        lines = lines[: max(size.lines - 3, 2)]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _page(url: str) -> str:
    target = url.rstrip("/")
    target = target if target.endswith("/metrics") else target + "/metrics"
    if not target.startswith(("http://", "https://")):
        raise StartError(f"'{url}' is no address; write HOST:PORT or http://HOST:PORT")
    try:
        with urlopen(Request(target), timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 - http and https alone
            page: bytes = answer.read(PAGE_BYTES)
    except (URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise StartError(f"{target} cannot be read: {reason}; is a runtime there, with --metrics?") from error
    return page.decode("utf-8", "replace")
