"""Checks of a graph whose fields are sound: one row a mistake, with its place, its code and its words."""

from __future__ import annotations

import pytest
from graph_cases import DIGEST, EXPORTS, SOUND, found, model, module, problems, spoilt, tensor

from flowrt.graph.codes import CODES
from flowrt.graph.facts import Machine, Unreadable
from flowrt.graph.topics import as_filter, can_meet
from flowrt.problem import Severity

PUMP = "pump-features:1.0.0"
FILE = spoilt("mqtt: {host: 127.0.0.1}", "file: {path: '-'}")
TWO_ENDPOINTS = spoilt("operations:\n", "  - {name: f, file: {path: x}}\noperations:\n")
BRANCH = spoilt("operationType: map", "operationType: branch")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (spoilt("name: alerts\n    endpoint", "name: sensors\n    endpoint"),
         [(19, 11, "duplicate-name"), (25, 41, "unknown-operation")]),
        (spoilt("  - name: plant", "  - {name: plant, file: {path: x}}\n  - name: plant"), [(5, 11, "duplicate-name")]),
        (spoilt("from: {name: features}", "from: {name: featurs}"), [(24, 19, "unknown-operation")]),
        (spoilt("to: {name: alerts}", "to: {name: alert}"), [(25, 41, "unknown-operation")]),
        (spoilt("to: {name: alerts}", "to: {name: detector}"), [(25, 41, "self-loop")]),
        (spoilt("from: {name: detector}, to: {name: alerts}", "from: {name: features}, to: {name: detector}"),
         [(16, 11, "no-output"), (19, 11, "no-input"), (25, 5, "duplicate-connection")]),
        (spoilt("connections:\n", "connections:\n  - {from: {name: detector}, to: {name: features}}\n"),
         [(23, 5, "cycle")]),
        (spoilt("  - {from: {name: sensors}, to: {name: features}}\n", ""),
         [(8, 11, "no-output"), (12, 11, "no-input"), (16, 11, "unreachable"), (19, 11, "unreachable")]),
        (spoilt("  - {from: {name: detector}, to: {name: alerts}}\n", ""),
         [(16, 11, "no-output"), (19, 11, "no-input")]),
        (spoilt("to: {name: alerts}", "to: {name: sensors}"),
         [(19, 11, "no-input"), (25, 5, "cycle"), (25, 41, "source-with-input")]),
        (BRANCH, [(24, 12, "missing-arm")]),
        (BRANCH.replace("from: {name: features}", 'from: {name: features, arm: "True"}'), [(12, 11, "missing-arm")]),
        (spoilt("from: {name: features}", 'from: {name: features, arm: "True"}'), [(24, 34, "arm-without-branch")]),
        (spoilt("from: {name: features}", "from: {name: features, schemaName: s}"), [(24, 41, "unknown-schema")]),
        (spoilt("mqtt: {host: 127.0.0.1}", "mqtt: {host: a}\n    file: {path: b}"), [(4, 5, "endpoint-kind")]),
        (spoilt("    mqtt: {host: 127.0.0.1}\n", ""), [(4, 5, "endpoint-kind")]),
        (SOUND.replace("endpoint: plant", "endpoint: plnt"),
         [(9, 15, "unknown-endpoint"), (20, 15, "unknown-endpoint")]),
        (spoilt('    topics: ["plant/+/pump"]\n', ""), [(7, 5, "missing-topic")]),
        (spoilt("plant/+/pump", "plant/a+"), [(10, 14, "bad-topic")]),
        (spoilt("topic: alerts", "topic: plant/#"), [(21, 12, "bad-topic")]),
        (spoilt("topic: alerts", 'topic: "plant/{topik}"'), [(21, 12, "bad-template")]),
        (spoilt("topic: alerts", "topic: plant/7/pump"), [(21, 12, "topic-loop")]),
        (spoilt("topic: alerts", 'topic: "{topic}"'), [(21, 12, "topic-loop")]),
        (spoilt("topic: alerts", 'topic: "plant/{json.id}/pump"'), [(21, 12, "topic-loop")]),
        (spoilt("topic: alerts", 'topic: "plant/{topic[1]}/alert"'), []),
        (spoilt("topic: alerts", "topic: alerts\n    onError: {topic: 'dead/#'}"), [(22, 22, "bad-topic")]),
        (spoilt("topic: alerts", "topic: alerts\n    onError: {topic: plant/7/pump}"), [(22, 22, "topic-loop")]),
        (spoilt("topic: alerts", "topic: alerts\n    onError: {topic: dead, policy: drop}"), [(22, 22, "wrong-value")]),
        (TWO_ENDPOINTS.replace("20ms}", "20ms}\n    onError: {topic: d}"),
         [(16, 22, "unknown-endpoint")]),
        (TWO_ENDPOINTS.replace("20ms}", "20ms}\n    onError: {topic: d, endpoint: f}"),
         [(16, 22, "endpoint-kind")]),
        (spoilt("{host: 127.0.0.1}", "{host: a, clientId: c}\n  - {name: b, mqtt: {host: a, clientId: c}}"),
         [(6, 41, "client-id-clash")]),
        (TWO_ENDPOINTS.replace("file: {path: x}", "kafka: {brokers: ['a:1']}").replace(
            "endpoints:\n", "endpoints:\n  - {name: k, kafka: {brokers: ['a:1']}}\n"), []),
        (spoilt("{host: 127.0.0.1}", "{host: a, outage: {cover: 1h, rate: 10}}"), [(5, 29, "queue-too-small")]),
        (spoilt("{host: 127.0.0.1}", "{host: a, outage: {cover: 30d, rate: 10, queue: 0}}"),
         [(18, 5, "queue-too-small")]),
        (spoilt("{host: 127.0.0.1}", "{host: a, outage: {cover: 1h, rate: 10, queue: 36000}}"), []),
        (FILE.replace("plant/+/pump", "a/+"), [(10, 14, "bad-topic")]),
        (FILE.replace('["plant/+/pump"]', "[a, b]"), [(10, 13, "bad-topic")]),
        (spoilt("{path: pump.onnx}", "detektor"), [(17, 12, "unknown-model")]),
        (spoilt("name: features\n    parameters", "name: featres\n    parameters"), [(27, 11, "unknown-operation")]),
        (spoilt("name: features\n    parameters", "name: features\n    extra: 1\n    parameters"),
         [(28, 12, "unknown-field")]),
        (spoilt('default: "60"', "required: true"), [(28, 26, "missing-parameter")]),
        (spoilt('default: "60"}', "}, w: {name: window}"), [(28, 47, "duplicate-parameter")]),
        (spoilt('metadata: {name: pump, version: "1.2.0"}', ""), [(2, 1, "missing-metadata")]),
        (spoilt('runtimeVersion: "1.1.0"', 'runtimeVersion: "2.0"'), [(2, 59, "unknown-version")]),
        (spoilt('runtimeVersion: "1.1.0"', 'hostlibVersion: "0.2.0"'), []),
        (spoilt('runtimeVersion: "1.1.0"', "features: [{name: wasinn}]"), [(2, 61, "unknown-feature")]),
        ("operations: []", [(1, 1, "missing-metadata"), (1, 13, "no-operations")]),
    ],
)  # fmt: skip
def test_a_mistake_in_the_graph(text: str, expected: list[tuple[int, int, str]]) -> None:
    assert found(text) == expected


@pytest.mark.parametrize(
    ("facts", "expected", "words"),
    [
        (Unreadable("looked in /m", missing=True), (13, 13, "missing-module"), "looked in /m"),
        (Unreadable("it does not begin with \\0asm"), (13, 13, "unreadable-module"), "rebuild it"),
        (module(form="component", exports={"wasm-graph:processor/filter@1.1.0": "instance"}),
         (13, 13, "missing-export"), "which a map calls; it can be used as filter"),
        (module(form="component", exports={"tinykube-graph:processor/map@0.9.0": "instance"}),
         (13, 13, "unsupported-module"), "this version runs wasm-graph:processor@1.1.0"),
        (module(form="component", exports={"wasm-graph:processor/map@2.0.0": "instance"}),
         (13, 13, "unsupported-module"), "this version runs wasm-graph:processor@1.1.0"),
        (module(form="component", exports={"wasi:cli/run@0.2.0": "instance"}),
         (13, 13, "unsupported-module"), "a component that does not export wasm-graph:processor/map@1.1.0"),
        (module(form="component", exports={"wasm-graph:processor/map@1.1.0": "instance"},
                imports=(("wasi:sockets/tcp@0.2.0", "", ""), ("wasi:nn/tensor@0.2.0", "", ""))),
         (13, 13, "unknown-import"), "imports wasi:nn/tensor@0.2.0, which this version does not offer"),
        (module(form="component", exports={"wasm-graph:processor/map@1.1.0": "instance"},
                imports=(("wasi:nn/tensor@0.2.0-rc-2024-10-28", "", ""),)),
         (13, 13, "feature-missing"), "[{name: wasi-nn}]"),
        (module(form="command"), (13, 13, "unsupported-module"), "flowrt exec"),
        (module(exports={k: v for k, v in EXPORTS.items() if k != "flowrt_map"}), (13, 13, "missing-export"),
         "does not export flowrt_map, which a map calls; it can be used as filter or branch"),
        (module(exports={**EXPORTS, "flowrt_save": "() -> (i32)"}), (13, 13, "missing-export"), "flowrt_restore"),
        (module(exports={**EXPORTS, "flowrt_map": "(i64) -> (i32)"}), (13, 13, "wrong-signature"), "(i64) -> (i32)"),
        (module(exports={**EXPORTS, "memory": "global"}), (13, 13, "wrong-signature"), "memory as global"),
        (module(imports=(("env", "print", "(i32)"),)), (13, 13, "unknown-import"), "env.print, which no host offers"),
        (module(imports=(("flowrt", "lag", "(i32)"),)), (13, 13, "unknown-import"), "did you mean 'flowrt.log'?"),
        (module(imports=(("flowrt", "log", "(i32) -> ()"),)), (13, 13, "wrong-signature"), "(i32, i32, i32) -> ()"),
        (module(imports=(("wasi_ephemeral_nn", "load", "() -> ()"),)),
         (13, 13, "feature-missing"), "[{name: wasi-nn}]"),
        (module(memory_bytes=2**25), (14, 36, "memory-above-quota"), "asks for 32Mi at its start"),
        (module(outputs=(tensor("f", "f32 23"),)),
         (17, 12, "tensor-mismatch"), "f: f32[23], and this takes x: f32[24]"),
        (module(outputs=(tensor("f", "f64 24"),)), (17, 12, "tensor-mismatch"), "f64 is not f32"),
        (module(outputs=(tensor("f", "f32 24"), tensor("g", "f32 1"))),
         (17, 12, "tensor-mismatch"), "2 tensors are not 1"),
    ],
)  # fmt: skip
def test_a_module_that_is_no_use(facts: object, expected: tuple[int, int, str], words: str) -> None:
    (problem,) = problems(SOUND, modules={PUMP: facts})
    assert (problem.line, problem.column, problem.code) == expected
    assert words in problem.message


def test_imports_that_a_host_offers_are_left_alone() -> None:
    imports = (
        ("flowrt", "log", "(i32, i32, i32)"),
        ("flowrt", "fail", "(i32, i32, i32) -> ()"),
        ("wasi_snapshot_preview1", "fd_write", "(i32, i32, i32, i32) -> (i32)"),
    )
    assert problems(SOUND, modules={PUMP: module(imports=imports)}) == []


def test_a_question_mark_is_a_name_like_any_other() -> None:
    """It stands for what is missing in a repaired file, and only there."""
    assert found(spoilt("{path: pump.onnx}", "'?'")) == [(17, 12, "unknown-model")]


def test_a_connection_without_an_end_does_not_hide_other_mistakes() -> None:
    text = spoilt("from: {name: features}, ", "").replace("topic: alerts", "topic: a/#")
    assert found(text) == [(21, 12, "bad-topic"), (24, 5, "missing-field")]


def test_tensors_meet_when_their_bytes_do() -> None:
    """A payload holds bytes: [4, 6] may be read as [24], and a free dimension takes what comes."""
    outputs = (tensor("f", "f32 4 6"),)
    assert problems(SOUND, modules={PUMP: module(outputs=outputs)}) == []
    assert problems(SOUND, modules={PUMP: module(outputs=outputs)}, models={"pump.onnx": model("f32 1 -1")}) == []


def test_tensors_are_compared_across_operations_that_pass_messages_on() -> None:
    text = """\
        metadata: {name: g}
        models: [{name: a, path: a.onnx}, {name: b, path: b.onnx}]
        operations:
          - {operationType: source, name: in}
          - {operationType: inference, name: first, model: a}
          - {operationType: filter, name: some, module: m}
          - {operationType: inference, name: second, model: b}
          - {operationType: map, name: verdict, module: v}
          - {operationType: sink, name: out}
        connections:
          - {from: {name: in}, to: {name: first}}
          - {from: {name: first}, to: {name: some}}
          - {from: {name: some}, to: {name: second}}
          - {from: {name: second}, to: {name: verdict}}
          - {from: {name: verdict}, to: {name: out}}
        """
    facts = {"a.onnx": model(outputs="f32 -1 8"), "b.onnx": model(inputs="f32 -1 9", outputs="f32 -1 2")}
    assert found(text, models=facts, modules={"v": module(inputs=(tensor("x", "f32 3"),))}) == [
        (7, 53, "tensor-mismatch"),
        (8, 49, "tensor-mismatch"),
    ]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (Unreadable("there is no file pump.onnx", missing=True), (17, 19, "missing-model")),
        (Unreadable("it is cut off"), (17, 19, "unreadable-model")),
    ],
)
def test_a_model_that_is_no_use(facts: Unreadable, expected: tuple[int, int, str]) -> None:
    assert found(SOUND, models={"pump.onnx": facts}) == [expected]


def test_digests_are_compared() -> None:
    text = spoilt("{path: pump.onnx}", f"{{path: pump.onnx, sha256: {'b' * 64}}}")
    text = spoilt("    resources", f"    sha256: {'c' * 64}\n    resources", text)
    assert found(text) == [(14, 13, "digest-mismatch"), (18, 38, "digest-mismatch")]
    assert found(text.replace("b" * 64, DIGEST).replace("c" * 64, DIGEST)) == []


def test_a_batch_for_a_model_that_takes_one_message_at_a_time() -> None:
    text = spoilt("{path: pump.onnx}", "{path: pump.onnx}\n    batch: {max: 8}")
    assert found(text, models={"pump.onnx": model("f32 1 24")}) == [(18, 18, "batch-too-large")]
    assert found(text) == []


def test_declared_quotas_are_summed_and_defaults_are_not() -> None:
    assert found(SOUND, machine=Machine(cores=0.25, memory_bytes=2**24)) == []
    small = problems(SOUND, machine=Machine(cores=0.2, memory_bytes=2**23))
    assert [(p.line, p.column, p.code) for p in small] == [
        (14, 22, "cpu-over-machine"),
        (14, 36, "memory-over-machine"),
    ]
    assert {problem.severity for problem in small} == {Severity.WARNING}


def test_an_accumulate_wants_a_delay_before_it_and_a_module_that_folds() -> None:
    assert found(spoilt("operationType: map", "operationType: accumulate")) == [
        (12, 11, "no-delay"),
        (13, 13, "missing-export"),
    ]


def test_a_state_on_disk_wants_a_module_that_keeps_one() -> None:
    module = "    module: pump-features:1.0.0\n"
    assert found(spoilt(module, module + "    keepState: disk\n")) == [(14, 16, "no-state")]


def test_a_state_that_a_crash_would_lose_is_told_until_the_graph_says_which_it_is() -> None:
    line = "    module: pump-features:1.0.0\n"
    state = {"flowrt_save": "() -> (i32)", "flowrt_restore": "(i32, i32) -> (i32)"}
    stateful = {PUMP: module(exports=EXPORTS | state)}

    (problem,) = problems(SOUND, modules=stateful)
    assert (problem.code, problem.severity) == ("state-in-memory", Severity.WARNING)

    for said in ("memory", "disk"):
        assert found(spoilt(line, line + f"    keepState: {said}\n"), modules=stateful) == []
    topics = '    topics: ["plant/+/pump"]\n'
    assert found(spoilt(topics, topics + "    qos: 0\n"), modules=stateful) == []  # nobody sends those again anyway


def test_the_cycle_is_named() -> None:
    text = spoilt("connections:\n", "connections:\n  - {from: {name: detector}, to: {name: features}}\n")
    (problem,) = problems(text)
    assert "features -> detector -> features" in problem.message


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/c", False),
        ("a/+", "+/b", True),
        ("a/#", "a", True),
        ("a/#", "b/#", False),
        ("#", "a/b/c", True),
        ("a/+", "a/b/c", False),
        ("#", "$dead/a", False),
        (as_filter("plant/{topic[1]}/anomaly"), "plant/+/pump", False),
        (as_filter("plant/{json.x}/anomaly"), "plant/+/pump", True),
        (as_filter("plant/x{topic[1]}/{{a}}"), "plant/+/{a}", True),
        (as_filter("plant/x{topic[1]}/{{a}}"), "plant/+/a", False),
    ],
)
def test_whether_two_filters_can_meet(one: str, other: str, meet: bool) -> None:
    assert can_meet(one, other) is can_meet(other, one) is meet


def test_every_code_the_checks_use_is_listed() -> None:
    from pathlib import Path
    from re import findall

    import flowrt

    source = "".join(path.read_text() for path in Path(flowrt.__file__).parent.rglob("*.py") if path.name != "codes.py")
    used = {
        code
        for code in CODES
        if f'"{code}"' in source or ('-over-machine"' in source and code.endswith("-over-machine"))
    }
    assert used == set(CODES)
    quoted = set(findall(r'(?:report|problem|warning)\([^"]*"([a-z]+(?:-[a-z0-9]+)+)"', source))
    assert quoted <= set(CODES)


def in_graph(resources: str) -> str:
    return SOUND.replace("operations:\n", f"resources: {resources}\noperations:\n", 1)


def test_quotas_are_summed_against_the_graphs_own_budget() -> None:
    """Every guest's and model's memory counts, because the budget is enforced."""
    tight = problems(in_graph("{cpu: 100m, memory: 64Mi}"))
    assert [(p.line, p.code) for p in tight] == [(15, "cpu-over-graph"), (16, "memory-over-graph")]
    assert found(in_graph("{cpu: 1, memory: 1Gi}")) == []


def test_a_graph_counts_against_the_machine_with_its_budget_at_most() -> None:
    assert problems(in_graph("{cpu: 200m}"), machine=Machine(cores=0.2, memory_bytes=2**30))[0].code == "cpu-over-graph"
    assert len(problems(in_graph("{cpu: 200m}"), machine=Machine(cores=0.2, memory_bytes=2**30))) == 1


@pytest.mark.parametrize("outcome", ["atLimit: bypass", "atFault: bypass"])
def test_only_what_has_one_way_through_can_be_bypassed(outcome: str) -> None:
    text = spoilt("topic: alerts", f"topic: alerts\n    resources: {{{outcome}}}")
    (problem,) = problems(text)
    assert problem.code == "no-bypass"


def test_a_share_of_the_processor_for_a_source_has_no_effect() -> None:
    text = spoilt('    topics: ["plant/+/pump"]\n', '    topics: ["plant/+/pump"]\n    resources: {cpu: 100m}\n')
    assert [problem.code for problem in problems(text)] == ["quota-without-effect"]


def test_a_models_weights_must_fit_the_quota_declared_for_it() -> None:
    text = spoilt("model: {path: pump.onnx}", "model: {path: pump.onnx}\n    resources: {memory: 1Mi}")
    (problem,) = problems(text, models={"pump.onnx": model(parameter_bytes=2**31)})
    assert (problem.code, "weights are 2Gi" in problem.message) == ("memory-above-quota", True)
    assert found(SOUND) == []
