"""Results for people, and for whoever reads JUnit's XML. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from xml.etree import ElementTree as ET

from flowrt.graphtest.running import Result

_LINES_MAX = 20
"""Differences shown of one test."""


def lines(result: Result) -> Iterator[str]:
    """One line for a test, and what is wrong with it below."""
    word = "pass" if result.passed else "FAIL"
    yield f"{word}  {result.asked.path}: {result.asked.name} ({result.seconds:.2f} s)"
    wrong = [line for words in result.wrong for line in words.splitlines()]
    yield from (f"      {line}" for line in wrong[:_LINES_MAX])
    if len(wrong) > _LINES_MAX:
        yield f"      and {len(wrong) - _LINES_MAX} more"
    if result.log and not result.passed:
        yield "      what the graph said:"
        yield from (f"        {line}" for line in result.log[:_LINES_MAX])


def coverage(results: Sequence[Result]) -> Iterator[str]:
    """For each graph, how many of its operations and arms some test reached, and the others by name."""
    ran = sorted((result for result in results if result.reachable), key=lambda result: result.graph)
    for graph, group in groupby(ran, key=lambda result: result.graph):
        tests = list(group)
        reachable = frozenset().union(*(test.reachable for test in tests))
        reached = frozenset().union(*(test.reached for test in tests)) & reachable
        missing = sorted(reachable - reached)
        rest = f"; not reached: {', '.join(missing)}" if missing else ""
        yield f"{graph}: {len(reached)} of {len(reachable)} operations and arms reached{rest}"


def summary(results: Sequence[Result]) -> str:
    failed = sum(not result.passed for result in results)
    return f"{len(results) - failed} passed, {failed} failed"


def junit(results: Sequence[Result]) -> str:
    """JUnit's XML, one suite a test file."""
    root = ET.Element("testsuites", name="flowrt")
    for path, group in groupby(results, key=lambda result: str(result.asked.path)):
        tests = list(group)
        suite = ET.SubElement(
            root, "testsuite", name=path, tests=str(len(tests)), failures=str(sum(not test.passed for test in tests)),
            time=f"{sum(test.seconds for test in tests):.3f}",
        )  # fmt: skip
        for test in tests:
            case = ET.SubElement(suite, "testcase", classname=path, name=test.asked.name, time=f"{test.seconds:.3f}")
            if not test.passed:
                failure = ET.SubElement(case, "failure", message=_xml(test.wrong[0].splitlines()[0]))
                failure.text = _xml("\n".join([*test.wrong, *test.log]))
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _xml(text: str) -> str:
    """Without the characters that XML 1.0 does not allow, which payloads may hold."""
    return "".join(
        char if char in "\t\n" or (char >= " " and not "\ud800" <= char <= "\udfff") else "\ufffd" for char in text
    )
