"""The filter, branch and throttle transforms, and enrichment."""

import json

import pytest

from flowrt.endpoints.topics import matches
from flowrt.errors import NodeFault
from flowrt.message import Head
from flowrt.transforms.deciding import BranchTransform, FilterTransform
from flowrt.transforms.rules import Rules, Throttle
from flowrt.transforms.throttle import ThrottleTransform, interval_ms

HEAD = Head("sensors/a", None, (("kind", "test"),))
TWO = [{"inputs": ["temperature"], "expression": "$1 > 100"}, {"inputs": ["humidity"], "expression": "$1 > 95"}]
LIMITS = [
    {"key": "device_limits as limits", "inputs": ["$source.deviceId", "$context.deviceId"], "expression": "$1 == $2"}
]


def nothing(_):
    return None


def filtering(rules, lookup=nothing, **options):
    known = Rules.model_validate({"filter": rules} if isinstance(rules, list) else rules, by_alias=True)
    return FilterTransform(known, lookup, **options)


def drops(rules, document, **given):
    return filtering(rules, **given).drops(document, HEAD)


@pytest.mark.parametrize(
    ("temperature", "humidity", "dropped"),
    [(150, 60, True), (80, 98, True), (80, 60, False), (100, 95, False), (100.5, 0, True)],
)
def test_any_rule_that_is_true_drops_the_message(temperature, humidity, dropped):
    assert drops(TWO, {"temperature": temperature, "humidity": humidity}) is dropped


def test_the_first_rule_that_is_true_ends_the_matter():
    assert drops(TWO, {"temperature": 150}) is True


@pytest.mark.parametrize(
    ("rules", "document", "words"),
    [
        (TWO, {"temperature": 50}, "filter rule 2, '$1 > 95': the message has no $1; write ?? and a default behind the "
         "input, if it may lack it; $1 is 'humidity'"),
        (TWO, {"temperature": "50"}, "filter rule 1, '$1 > 100': '>' compares two numbers, two strings or two "
         "booleans, and $1 is the string \"50\" and 100 is the int 100 (column 1); $1 is 'temperature'"),
        ([{"inputs": ["a"], "expression": "$1", "description": "odd"}], {"a": 1},
         "filter rule 1 (odd), '$1': the result is no boolean"),
    ],
)  # fmt: skip
def test_what_cannot_be_decided_is_a_fault(rules, document, words):
    with pytest.raises(NodeFault) as raised:
        drops(rules, document)
    assert (raised.value.kind, raised.value.detail) == ("expression", words)


def test_a_default_stands_in_for_a_missing_field():
    assert drops([{"inputs": ["a ?? 5"], "expression": "$1 == 5"}], {}) is True


def test_a_condition_on_metadata_does_not_look_at_the_payload():
    rules = [{"inputs": ["$metadata.user_property.kind"], "expression": '$1 == "test"'}]
    known = filtering(rules)
    assert known.drops(known.read(b"\x00 no json"), HEAD) is True


@pytest.mark.parametrize(
    ("document", "dropped"),
    [
        ({"deviceId": "a", "rawValue": 11}, True),
        ({"deviceId": "a", "rawValue": 10}, False),
        ({"deviceId": "z", "rawValue": 11}, False),
    ],
)
def test_a_rule_of_a_dataset_without_a_record_drops_nothing(document, dropped):
    rules = {
        "datasets": LIMITS,
        "filter": [{"inputs": ["rawValue", "$context(limits).maxValue"], "expression": "$1 > $2"}],
    }
    assert drops(rules, document, lookup=lambda _: b'{"deviceId": "a", "maxValue": 10}') is dropped


def test_messages_that_do_not_fit_the_schema_are_dropped_before_the_rules():
    known = {"validateSchema": True, "filter": [{"inputs": ["a"], "expression": "$1 > 1"}]}
    conforms = {"conforms": lambda document: "b" not in document}
    assert drops(known, {"b": 1}, **conforms) is True
    assert drops(known, {"a": 1}, **conforms) is False
    assert drops({"validateSchema": True, "filter": []}, {"a": 1}, **conforms) is False


def arm(rule, document, **given):
    known = Rules.model_validate({"branch": rule, "datasets": given.pop("datasets", [])}, by_alias=True)
    return BranchTransform(known, given.get("lookup", nothing)).arm(document, HEAD)


def test_a_branch_has_two_arms():
    rule = {"inputs": ["severity"], "expression": "$1 > 5"}
    assert [arm(rule, {"severity": severity}) for severity in (5, 6)] == [False, True]
    with pytest.raises(NodeFault):
        arm(rule, {})


def test_a_branch_on_a_dataset_takes_false_without_a_record():
    rule = {"inputs": ["quantity", "$context(limits).factor"], "expression": "$1 * $2 > 10"}
    given = {"datasets": LIMITS, "lookup": lambda _: b'\n{"deviceId": 7, "factor": 6}\n'}
    assert arm(rule, {"deviceId": 7.0, "quantity": 2}, **given) is True
    assert arm(rule, {"deviceId": True, "quantity": 2}, **given) is False


@pytest.mark.parametrize("expression", ["$1 == $2", "$2 == $1", "$1 == $2 && true"])
def test_an_equality_found_in_a_table_is_one_found_by_trying_every_record(expression):
    values = [1, 1.0, True, "1", None, [1], 2**70, "a"]
    records = "\n".join(json.dumps({"k": value, "n": number}) for number, value in enumerate(values)).encode()
    datasets = [{"key": "d", "inputs": ["$source.k", "$context.k"], "expression": expression}]
    rule = {"inputs": ["n", "$context(d).n"], "expression": "$1 == $2"}
    found = []
    for value, first in zip([1, 1.0, True, "1", [1.0], "a", "b"], [0, 0, 2, 3, 5, 7, None], strict=True):
        document = {"k": value, "n": first if first is not None else 0}
        try:
            found.append(arm(rule, document, datasets=datasets, lookup=lambda _: records) is (first is not None))
        except NodeFault:
            found.append(expression.endswith("true"))  # trying every record meets the one of more than 64 bits
    assert all(found)


def test_records_are_read_again_when_they_have_changed():
    text = [b'{"deviceId": 1, "factor": 1}']
    known = Rules.model_validate(
        {"datasets": LIMITS, "branch": {"inputs": ["$context(limits).factor"], "expression": "$1 > 1"}}, by_alias=True
    )
    branch = BranchTransform(known, lambda _: text[0])
    arms = [branch.arm({"deviceId": 1}, HEAD)]
    text[0] = b'{"deviceId": 1, "factor": 2}'
    arms.append(branch.arm({"deviceId": 1}, HEAD))
    text[0] = b'{"deviceId": 1\n'
    with pytest.raises(NodeFault, match="dataset 'limits', line 1"):
        branch.arm({"deviceId": 1}, HEAD)
    assert arms == [False, True]


def throttled(rules, messages):
    """Which of (milliseconds, topic) pass."""
    throttles = [{"topic": topic, "maxMessagesPerSecond": rate} for topic, rate in rules]
    known = ThrottleTransform(Throttle.model_validate({"perTopicThrottles": throttles}, by_alias=True), matches)
    heads = {topic: Head(topic) for _, topic in messages}
    return [known.passes(heads[topic], now) for now, topic in messages]


@pytest.mark.parametrize(
    ("rules", "messages", "passing"),
    [
        ([("sensors/temperature", 10)], [(0, "sensors/temperature"), (99, "sensors/temperature"),
          (100, "sensors/temperature"), (101, "x"), (199, "sensors/temperature")], [True, False, True, True, False]),
        ([("sensors/temperature", 10), ("sensors/#", 1)], [(0, "sensors/temperature"), (0, "sensors/humidity"),
          (500, "sensors/temperature"), (500, "sensors/x"), (1000, "sensors")], [True, True, True, False, True]),
        ([("sensors/+", 1)], [(0, "sensors/temperature"), (500, "sensors/humidity"), (1000, "sensors/humidity")],
         [True, False, True]),
        ([("debug/#", 0)], [(0, "debug/a"), (10**9, "debug/a"), (0, "other")], [False, False, True]),
        ([("#", 0.1)], [(0, "a"), (9999, "b"), (10_000, "c"), (25_000, "a"), (30_000, "a")],
         [True, False, True, True, False]),
        ([("#", 3)], [(0, "a"), (333, "a"), (334, "a")], [True, False, True]),
        ([], [(0, "a"), (0, "a")], [True, True]),
    ],
)  # fmt: skip
def test_a_throttle_lets_one_message_an_interval_pass(rules, messages, passing):
    assert throttled(rules, messages) == passing


@pytest.mark.parametrize(
    ("rate", "interval"),
    [(10, 100), (3, 334), (0.1, 10_000), (1000, 1), (5000, 1), (0, float("inf")), (5e-324, float("inf"))],
)
def test_intervals_are_whole_milliseconds_rounded_up(rate, interval):
    assert interval_ms(rate) == interval
