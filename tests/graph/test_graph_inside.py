"""A mistake inside an expression is shown where its letter stands in the file, however the text is written."""

import pytest

from flowrt.graph.checks.transforms import check
from flowrt.graph.reading import read

HEAD = """\
metadata: {name: g, version: 1.0.0}
operations:
  - {operationType: source, name: in}
  - {operationType: sink, name: out}
  - operationType: transform
    name: t
"""
RULES = r'{"map": [{"inputs": ["a"], "output": "b", "expression": "\"é\" + cToQ($1)"}]}'
LONG = "    map:\n      - inputs: [a]\n        output: b\n        expression: "
WAYS = {
    "plain": "    map: [{inputs: [a], output: b, expression: 2 + cToQ($1)}]\n",
    "plain over lines": LONG + "2 +\n          cToQ($1)\n",
    "quoted": "    map: [{inputs: [a], output: b, expression: '''é'' + cToQ($1)'}]\n",
    "quoted with escapes": r'    map: [{inputs: [a], output: b, expression: "\"\u00e9\" + cToQ($1)"}]' + "\n",
    "block": LONG + "|\n          if($1 > 3,\n            cToQ($1), 2)\n",
    "block after a gap": LONG + "|\n\n          1 +\n\n          cToQ($1)\n",
    "folded": LONG + ">-\n          if($1 > 3,\n          cToQ($1), 2)\n",
    "anchored": "    map: [{inputs: [a], output: b, expression: &x '2 + cToQ($1)'}]\n",
    "anchored on the line before": LONG + "&x\n          cToQ($1)\n",
    "tagged": "    map: [{inputs: [a], output: b, expression: !!str cToQ($1)}]\n",
    "by an alias": "    description: &e 2 + cToQ($1)\n    map: [{inputs: [a], output: b, expression: *e}]\n",
    "JSON in a block": f"    rules: |\n      {RULES}\n",
    "JSON in an anchored, folded block": "    rules: &r >-\n      " + RULES.replace(", ", ",\n      ") + "\n",
    "JSON in quotes": f"    rules: '{RULES}'\n",
}


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("written", WAYS.values(), ids=WAYS)
def test_the_column_is_where_the_unknown_function_stands(written, newline):
    text = HEAD + written
    ((line, column),) = [
        (number, found + 1)
        for number, found in enumerate((each.find("cToQ") for each in text.split("\n")), 1)
        if found >= 0
    ]
    graph = read(text.replace("\n", newline).encode(), "g.yaml", {}, {}).graph
    problems = [problem for problem in check(graph) if problem.code == "bad-expression"]
    assert [(problem.line, problem.column) for problem in problems] == [(line, column)]
