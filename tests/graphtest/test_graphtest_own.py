"""Our own form of a test: what passes, and in which words the rest fails."""

import pytest

from flowrt.graphtest.running import listed


def test_a_graph_does_what_its_test_says(tests):
    assert not tests.wrong("""
    in:
      - {topic: a/1, payload: {t: 21}, properties: {unit: C}, contentType: application/json}
      - {topic: a/2, payload: {t: 20}, at: 1500ms}
      - {topic: a/3, payload: no JSON}
    out:
      hot: [{topic: hot/1, payload: {t: 42}, properties: {unit: C}, after: 0s}]
      cold: [{topic: cold, payload: {t: 20}, after: 1.5s}]
      warm.True: [{topic: a/1, payload: {t: 21.0}}]
    metrics:
      warm: {received: 3, faults.format: 1}
    deadLetters: [{node: warm, kind: format, payload: no JSON}]
""")


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("out: {hot: [{payload: {t: 43}}]}", "hot[0].payload.t: expected 43, found 42"),
        ("out: {hot: [{payload: {t: true}}]}", "hot[0].payload.t: expected true, found 42"),
        ("out: {hot: [{payload: {t: 42, u: 1}}]}", "hot[0].payload.u: expected 1, and it is missing"),
        ("out: {hot: [{payload: {}}]}", "hot[0].payload.t: 42 was not expected"),
        ("out: {hot: [{payload: [1]}]}", 'hot[0].payload: expected [1], found {"t": 42}'),
        ("out: {hot: [{topic: hot/2}]}", 'hot[0].topic: expected "hot/2", found "hot/1"'),
        ("out: {hot: [{contentType: text/plain}]}", 'hot[0].contentType: expected "text/plain", found null'),
        ("out: {hot: [{properties: {unit: K}}]}", 'hot[0].properties.unit: expected "K", found "C"'),
        ("out: {hot: [{after: 2s}]}", "hot[0].after: expected 2 s, found 0 s"),
        ("out: {hot: [{}, {}]}", "hot: expected 2 messages, found 1"),
        ("out: {hot: []}", 'hot: expected 0 messages, found 1; the first too many: hot/1 {"t": 42}'),
        ("out: {cold: []}", 'hot: 1 messages came out, and `out` does not name it; the first: hot/1 {"t": 42}'),
        ("out: {warm: []}", 'warm: expected 0 messages, found 1; the first too many: a/1 {"t": 21}'),
        ("out: {wram: []}", "out: 'wram' is no sink, operation or arm of the graph"),
        (
            "anyOrder: true\n    out: {hot: [{payload: 1}]}",
            'hot[0]: no message is as expected; the first left: hot/1 {"t": 42}',
        ),
        ("deadLetters: [{node: warm}]", "deadLetters: expected 1, found 0"),
        ("metrics: {double: {emitted: 2}}", "metrics.double.emitted: expected 2, found 1"),
        ("metrics: {dubble: {emitted: 1}}", "metrics: the graph has no operation 'dubble'"),
        ("stateAfter: {k: 1}", "stateAfter.k: expected 1, and there is no such key"),
        ("state: {k: 2}\n    stateAfter: {k: 1}", "stateAfter.k: expected 1, found 2"),
        ("state: {k: 2}\n    stateAfter: {k: null}", "stateAfter.k: expected to be gone, found 2"),
    ],
)
def test_what_differs_is_told_with_its_place(tests, case, words):
    wrong = tests.wrong(f"    in: [{{topic: a/1, payload: {{t: 21}}, properties: {{unit: C}}}}]\n    {case}\n")
    assert words in wrong


def test_a_dead_letter_that_is_not_expected_is_a_failure(tests):
    (words,) = tests.wrong("    in: [{topic: a/1, payload: {t: x}}]\n")
    assert words.startswith("deadLetters: 'warm' could not handle a message: expression: ")


def test_tolerance_and_members_beyond_those_expected(tests):
    given = "    in: [{topic: a/1, payload: {t: 1000, u: 1}}]\n    out: {warm.True: [{payload: {t: 1001}, %s}]}\n"
    assert tests.wrong(given % "partial: true, tolerance: 1e-3").__contains__(
        'hot: 1 messages came out, and `out` does not name it; the first: hot/1 {"t": 2000}'
    )
    assert any("expected 1001, found 1000" in words for words in tests.wrong(given % "partial: true, tolerance: 1e-4"))
    assert any("u: 1 was not expected" in words for words in tests.wrong(given % "tolerance: 1e-3"))


@pytest.mark.parametrize(
    ("stub", "out"),
    [
        ("double: {pass: true}", "{hot: [{payload: {t: 30}}], cold: [{payload: {t: 1}}]}"),
        ("double: {pass: false}", "{cold: [{payload: {t: 1}}]}"),
        ("double: {emit: [{payload: 7, topic: a/9}]}", "{hot: [{payload: 7, topic: hot/9}], cold: [{}]}"),
        ("warm: {verdict: [false, true]}", "{hot: [{payload: {t: 2}}], cold: [{payload: {t: 30}}]}"),
        ("warm.True: {pass: false}", "{warm.True: [{payload: {t: 30}}], cold: [{}]}"),
    ],
)
def test_stubs_stand_in_for_operations_and_arms(tests, stub, out):
    given = "in: [{topic: a/1, payload: {t: 30}}, {topic: a/1, payload: {t: 1}}]"
    assert tests.wrong(f"    stubs: {{{stub}}}\n    {given}\n    out: {out}\n") == []


def test_a_stub_that_fails(tests):
    assert not tests.wrong("""
    stubs: {warm: {fail: out of order}}
    in: [{topic: a/1, payload: {}}]
    out: {}
    deadLetters: [{node: warm, reason: out of order}]
""")


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("in: [{topic: b/1}]", "message 1 of `in`: 'in' does not read the topic 'b/1'; it reads a/+"),
        ("in: [{payload: 1}]", "message 1 of `in`: a topic may not be empty; give a topic that a/+ matches"),
        ("in: [{topic: a/1, source: out}]", "message 1 of `in`: 'out' is no source; sources are in"),
        ("in: [{topic: a/1, payload: 1, base64: AA==}]", "message 1 of `in`: payload and base64 are both given"),
        ("in: [{topic: a/1, base64: '*'}]", "message 1 of `in`: base64: "),
        ("in: [{topic: a/1, file: gone.json}]", "gone.json cannot be read: No such file or directory"),
        ("in: [{topic: a/1, timestamp: noon}]", "timestamp 'noon' is not MILLISECONDS:COUNTER:NODE"),
        ("in: [{topic: a/1, at: 2s}, {topic: a/1, at: 1s}]", "message 2 of `in`: it enters before the one before it"),
        ("stubs: {dubble: {pass: true}}", "stub 'dubble': the graph has no such operation or arm"),
        ("stubs: {double: {}}", "stub 'double': give one of emit, verdict, pass and fail, and 0 are given"),
        ("stubs: {double: {verdict: [true]}}", "stub 'double': a transform takes emit or pass"),
        ("stubs: {in: {pass: true}}", "stub 'in': it is a source"),
        ("stubs: {warm.True: {fail: x}}", "stub 'warm.True': an arm is cut with {pass: false}"),
    ],
)
def test_a_test_that_cannot_be_run_says_why(tests, case, words):
    (wrong,) = tests.wrong(f"    {case}\n")
    assert words in wrong


def test_every_mistake_of_a_file_is_a_problem_at_its_place(tests):
    path = tests.write("graph: g.yaml\ncases:\n  - name: one\n    inn: []\n  - {name: two, timeout: 0}\n")
    asked, problems = listed(path)
    assert asked == []
    assert [str(problem).removeprefix(f"{path}:") for problem in problems] == [
        "4:5: unknown-field: case 'one': there is no field 'inn'; did you mean 'in'?",
        "5:26: out-of-range: case 'two': timeout is the number 0 and must be more than 0s",
    ]


def test_a_stub_stands_in_for_a_module_that_is_not_there(tests):
    graph = (tests.folder / "g.yaml").read_text()
    lines = graph.replace(
        "operationType: transform\n    name: double", "operationType: map\n    name: double\n    module: gone"
    )
    (tests.folder / "g.yaml").write_text("\n".join(line for line in lines.splitlines() if "    map: [" not in line))
    given = "    in: [{topic: a/1, payload: {t: 30}}]\n"
    assert "missing-module" in tests.wrong(given)[0]
    assert tests.wrong("    stubs: {double: {pass: true}}\n" + given) == []


def test_a_case_that_takes_too_long_fails(tests):
    case = "    in: [{topic: a/1, payload: {t: 1}, repeat: 100000}]\n    timeout: 10ms\n"
    assert tests.wrong(case) == ["it took longer than its timeout of 0.01 s"]


def test_pauses_and_rates_pass_on_the_virtual_clock(tests):
    """A thousand messages at ten a second take a hundred seconds that nobody waits for."""
    graph = (tests.folder / "g.yaml").read_text()
    (tests.folder / "g.yaml").write_text(
        graph.replace("    name: warm", "    name: warm\n    resources: {messageRate: 10}")
    )
    assert not tests.wrong("""
    in: [{topic: a/1, payload: {t: 1}, repeat: 1000}, {topic: a/1, payload: {t: 2}}]
    out: {cold: [{repeat: 1000}, {payload: {t: 2}, after: 100s}]}
""")
