"""Transforms in real graphs: checked with the column inside the expression, drawn, and run."""

import json

import pytest

from flowrt.graph.checks import transforms
from flowrt.graph.reading import read

HEAD = """\
metadata: {name: g, version: 1.0.0}
endpoints: [{name: plant, mqtt: {host: 127.0.0.1}}]
operations:
  - {operationType: source, name: in, endpoint: plant, topics: [a/#]}
  - {operationType: sink, name: out, endpoint: plant, topic: out}
"""


BLOCK = "    map:\n      - inputs: [a]\n        output: b\n        "


def found(operation):
    """Line (from the operation's own), column, code and words of every problem of one operation."""
    before = HEAD + "  - operationType: transform\n    name: t\n"
    reading = read((before + operation).encode(), "g.yaml", {}, {})
    first = before.count("\n")
    problems = [*reading.problems, *(transforms.check(reading.graph) if reading.graph else ())]
    return [(problem.line - first, problem.column, problem.code, problem.message) for problem in problems]


def place_and_words(operation):
    (problem,) = found(operation)
    line, column, code, words = problem
    return line, column, code, words.removeprefix("operation 't': ")


@pytest.mark.parametrize(
    ("operation", "line", "column", "code", "words"),
    [
        ("    map: [{inputs: [a], output: b, expression: $1 and 2}]\n", 1, 51, "bad-expression",
         "map[0].expression: there is no operator 'and'; write && (column 4)"),
        ("    map: [{inputs: [a], output: b, expression: '\"it''s\" * $1'}]\n", 1, 49, "bad-expression",
         "map[0].expression: '*' takes a number, and \"it's\" is a string (column 1)"),
        ('    map: [{inputs: [a], output: b, expression: "$1 + \\", \\" + $2"}]\n', 1, 63, "bad-expression",
         "map[0].expression: there is no $2: there is one input, $1 (column 13)"),
        (BLOCK + "expression: |\n          $1 *\n            foo(2)\n",
         6, 13, "bad-expression", "map[0].expression: there is no function 'foo'; did you mean 'floor'? (column 8)"),
        (BLOCK + "expression: >-\n          $1 *\n          foo(2)\n",
         6, 11, "bad-expression", "map[0].expression: there is no function 'foo'; did you mean 'floor'? (column 6)"),
        (BLOCK + "expression: $1 *\n          foo(2)\n",
         5, 11, "bad-expression", "map[0].expression: there is no function 'foo'; did you mean 'floor'? (column 6)"),
        ("    rules: '{\"branch\": {\"inputs\": [\"a\"], \"expression\": \"$1 >> 5\"}}'\n", 1, 61, "bad-expression",
         'branch.expression: found \'>\' where a value (such as $1, 5, "text" or a function) is expected (column 5)'),
        ('    rules: |\n      {"branch": {"inputs": ["a"],\n                  "expression": "$1 + 1"}}\n',
         3, 34, "bad-expression", "branch.expression: the result has to be a boolean, and it is a number or a string "
         "(column 1)"),
        ("    rules: '{\"map\": [}'\n", 1, 22, "bad-rules", "rules: this is not JSON: expecting value"),
        ("    rules: '{\"map\": [], \"map\": []}'\n", 1, 13, "bad-rules",
         "rules: the key 'map' stands twice in one JSON object; remove one"),
        ("    rules: '{\"map\": [{\"input\": [\"a\"], \"inputs\": [], \"output\": \"b\"}]}'\n", 1, 32, "bad-rules",
         "rules: map[0].input: there is no such field"),
        ("    filter: [{inputs: ['x.*'], expression: 'true'}]\n", 1, 25, "bad-path",
         "filter[0].inputs[0]: a filter takes no wildcards; name one field (column 1)"),
        ("    filter: [{inputs: ['x ? $lst'], expression: 'true'}]\n", 1, 27, "bad-path",
         "filter[0].inputs[0]: found '? $lst' behind the path; write ? $last, or quote it if it is a name (column 3)"),
        ("    filter: [{inputs: ['$context(limts).x'], expression: 'true'}]\n"
         "    datasets: [{key: l as limits, inputs: [$source.a, $context.a], expression: $1 == $2}]\n", 1, 25,
         "bad-path", "filter[0].inputs[0]: there is no dataset 'limts'; did you mean 'limits'? (column 1)"),
        ("    map: [{inputs: [a], output: '*'}]\n", 1, 33, "bad-path",
         "map[0].output: the output has a wildcard and the inputs have none; write the field's name"),
        ("    map: [{inputs: ['a.*'], output: b}]\n", 1, 37, "bad-path",
         "map[0].output: the inputs have a wildcard and the output has none; put the * where its fields belong"),
        ("    map: [{inputs: [a], output: '', expression: $1}]\n", 1, 49, "bad-expression",
         "map[0].expression: a rule with the output '' removes its inputs and takes no expression; name an output, or "
         "remove it"),
        ("    map: [{inputs: [], output: a}]\n", 1, 20, "bad-path",
         "map[0].inputs: a rule without inputs needs an expression; add an input or an expression"),
        ("    map: []\n    filter: []\n", -1, 5, "transform-kind", "a transform is exactly one of map, filter, branch, "
         "throttle or window, and this has map and filter; make several transforms of it"),
        ("    description: nothing\n", -1, 5, "transform-kind", "a transform is exactly one of map, filter, branch, "
         "throttle or window, and this has none; make several transforms of it"),
        ("    map: []\n    rules: {map: []}\n", 1, 10, "transform-kind",
         "map stands beside rules, which has a map of its own; write one of the two"),
        ("    throttle: {perTopicThrottles: [{topic: a, maxMessagesPerSecond: 1}, {topic: a, maxMessagesPerSecond: 2}"
         "]}\n", 1, 81, "bad-rules", "perTopicThrottles[1].topic: the topic filter 'a' stands here a second time and "
         "would never be tried; remove it"),
        ("    throttle: {perTopicThrottles: [{topic: a/#/b, maxMessagesPerSecond: 1}]}\n", 1, 44, "bad-rules",
         "perTopicThrottles[0].topic: topic filter 'a/#/b' can match nothing: '#' stands alone, and only as the last "
         "level"),
        ("    throttle: {perTopicThrottles: [{topic: a, maxMessagesPerSecond: -1}]}\n", 1, 69, "out-of-range",
         "throttle.perTopicThrottles[0].maxMessagesPerSecond is the number -1 and must be at least 0.0"),
        ("    map: [{output: a, expression: '1'}]\n", 1, 11, "missing-field", "'map[0].inputs' is missing; add it"),
        ("    sliding: {length: 10s, every: 20s}\n"
         "    rules: {accumulate: [{inputs: [t], output: avg, expression: average($1)}]}\n", 1, 14,
         "bad-rules", "`every` is between a thousandth of `length` and `length`, and 20 s is not"),
        ("    sliding: {length: 10s, every: 5s}\n    count: {type: messageCount, maxMessageCount: 3, "
         "boundaryMessage: messageInCurrent}\n"
         "    rules: {accumulate: [{inputs: [t], output: avg, expression: average($1)}]}\n", 1, 14,
         "bad-rules", "sliding windows end by time alone; remove count"),
        ("    session: {gap: 10s, longest: 5s}\n"
         "    rules: {accumulate: [{inputs: [t], output: avg, expression: average($1)}]}\n", 1, 14,
         "bad-rules", "`longest` is shorter than `gap`"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_rules(operation, line, column, code, words):
    assert place_and_words(operation) == (line, column, code, words)


def test_of_very_many_mistakes_the_first_are_shown():
    rules = [{"inputs": ["a"], "output": f"o{number}", "expression": "$1 and 2"} for number in range(200)]
    problems = found(f"    rules: '{json.dumps({'map': rules})}'\n")
    assert len(problems) == transforms.SHOWN_MAX + 1
    assert [words for _, _, code, words in problems if code == "bad-rules"] == [
        "operation 't': there are 150 mistakes more; mend these first"
    ]


def test_every_mistake_of_a_window_is_found():
    operation = """\
    delay: {type: duration, delaySeconds: 10}
    triggers: {type: expression, rules: [{inputs: [t], trigger: changed($1 + 1), boundaryMessage: messageInNext}]}
    rules:
      accumulate:
        - {inputs: ['t ?? 0'], output: a, expression: average($1)}
        - {inputs: [$metadata.topic], output: a, expression: last($1)}
        - {inputs: [t], output: "b.*", expression: $1 + 1}
        - {inputs: [t], output: c, expression: "1"}
"""
    assert [problem[:3] for problem in found(operation)] == [
        (5, 22, "bad-path"),
        (6, 21, "bad-path"),
        (6, 47, "bad-path"),
        (7, 34, "bad-path"),
        (7, 52, "bad-expression"),
        (8, 48, "bad-expression"),
        (2, 65, "bad-expression"),
    ]


@pytest.mark.parametrize("key", ["delay", "count", "memory", "triggers", "throttle", "rules"])
def test_a_text_is_read_as_its_configuration(key):
    assert (1, len(f"    {key}: '") + 1, "bad-rules") in [problem[:3] for problem in found(f"    {key}: '!'\n")]


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        ("map: [{inputs: [a], output: b}]", None),
        ("map: [{inputs: ['a ? $last'], output: b}]", "it remembers last values of all topics together (? $last)"),
        ("rules: '{\"filter\": [{\"inputs\": [\"a ? $last\"], \"expression\": \"true\"}]}'",
         "it remembers last values of all topics together (? $last)"),
        ("throttle: {perTopicThrottles: []}", "it counts the messages of several topics together"),
    ],
)  # fmt: skip
def test_what_keeps_topics_together_is_known(operation, words):
    """It decides whether a graph can be divided among processes by topic."""
    text = HEAD + f"  - {{operationType: transform, name: t, {operation}}}\n"
    transform = read(text.encode(), "g.yaml", {}, {}).graph.file.operations[-1]
    assert transform.across_topics == words


def documents(messages):
    return [json.loads(message.payload) for message in messages]


def test_map_filter_and_branch_in_one_graph(bench):
    """The documented example: bad readings are dropped, both arms rename, severe ones are marked, all are merged."""
    operations = """\
  - operationType: transform
    name: remove-bad-data
    filter: [{inputs: [temperature], expression: $1 > 1000}]
  - operationType: transform
    name: severity-check
    rules: '{"branch": {"inputs": ["severity"], "expression": "$1 > 5"}}'
  - operationType: transform
    name: alert
    map:
      - {inputs: [deviceId], output: id}
      - {inputs: [temperature], output: temp}
      - {inputs: [], output: alert, expression: "true"}
      - {inputs: [], output: $metadata.topic, expression: '"alerts"'}
  - operationType: transform
    name: normal
    map: [{inputs: [deviceId], output: id}, {inputs: [temperature], output: temp}]
"""
    connections = [
        "{from: {name: in}, to: {name: remove-bad-data}}",
        "{from: {name: remove-bad-data}, to: {name: severity-check}}",
        '{from: {name: severity-check, arm: "True"}, to: {name: alert}}',
        '{from: {name: severity-check, arm: "False"}, to: {name: normal}}',
        "{from: {name: alert}, to: {name: out}}",
        "{from: {name: normal}, to: {name: out}}",
    ]
    sent = [
        b'{"deviceId": "a", "temperature": 20, "severity": 9}',
        b'{"deviceId": "b", "temperature": 2000, "severity": 9}',
        b'{"deviceId": "c", "temperature": 30.5, "severity": 1}',
        b'{"deviceId": "d", "severity": 1}',
        b"no json",
    ]
    messages, graph = bench.run(operations, connections, sent)

    found = sorted(documents(messages), key=lambda document: document["id"])
    assert found == [{"id": "a", "temp": 20, "alert": True}, {"id": "c", "temp": 30.5}]
    assert {message.head.topic for message in messages} == {"alerts", "plant/pump"}
    assert set(bench.dead()) == {("remove-bad-data", "expression", sent[3]), ("remove-bad-data", "format", sent[4])}
    assert graph.nodes["remove-bad-data"].counters.filtered == 1


def test_a_throttle_lets_the_first_message_of_a_topic_pass(bench):
    operations = """\
  - operationType: transform
    name: thin
    throttle: {perTopicThrottles: [{topic: plant/+, maxMessagesPerSecond: 0.001}]}
"""
    connections = ["{from: {name: in}, to: {name: thin}}", "{from: {name: thin}, to: {name: out}}"]
    messages, graph = bench.run(operations, connections, [b"1", b"2", b"3"])
    assert [message.payload for message in messages] == [b"1"]
    assert graph.nodes["thin"].counters.filtered == 2


def test_messages_are_enriched_from_the_state_store_and_from_a_file(bench):
    operations = """\
  - operationType: transform
    name: enrich
    map:
      - {inputs: ["*"], output: "*"}
      - {inputs: [$context(device).name], output: name}
      - {inputs: [$context(site).*], output: site.*}
    datasets:
      - {key: device-metadata as device, inputs: [$source.id, $context.id], expression: $1 == $2}
      - {key: site, inputs: [$source.site, $context.site], expression: $1 == $2, file: sites.ndjson}
"""
    (bench.path / "sites.ndjson").write_text('{"site": 1, "town": "Aachen"}\n{"site": 2, "town": "Ulm"}\n')
    connections = ["{from: {name: in}, to: {name: enrich}}", "{from: {name: enrich}, to: {name: out}}"]
    messages, _ = bench.run(
        operations,
        connections,
        [b'{"id": "a", "site": 2.0}', b'{"id": "z", "site": 3}'],
        fill=lambda around: around.states.set(b"device-metadata", b'{"id": "a", "name": "Pump A"}\n'),
    )
    assert documents(messages) == [
        {"id": "a", "site": {"site": 2, "town": "Ulm"}, "name": "Pump A"},
        {"id": "z", "site": 3},
    ]


def test_records_in_the_state_store_outlive_a_restart(bench):
    """Written once, read by the graph that wrote them and by the one that is started after it."""
    operations = """\
  - operationType: transform
    name: enrich
    map: [{inputs: [$context(device).name], output: name}]
    datasets: [{key: devices as device, inputs: [$source.id, $context.id], expression: $1 == $2}]
"""
    connections = ["{from: {name: in}, to: {name: enrich}}", "{from: {name: enrich}, to: {name: out}}"]

    def write(around):
        around.states.set(b"devices", b'{"id": "a", "name": "Pump A"}\n')

    runs = [bench.run(operations, connections, [b'{"id": "a"}'], fill=fill) for fill in (write, lambda _: None)]
    assert [documents(messages) for messages, _ in runs] == [[{"name": "Pump A"}]] * 2
