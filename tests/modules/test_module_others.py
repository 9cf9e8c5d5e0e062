"""passthrough, scale, threshold, router and the benchmark's pair."""

from __future__ import annotations

import json

import numpy as np
import pytest
from guest_bench import Bench, make_batch

from flowrt.errors import GuestTrap
from flowrt.message import Head, Tensor

X = (Tensor("x", "f32", (16,)),)


@pytest.mark.parametrize("module", ["passthrough", "passthrough-rust"])
@pytest.mark.parametrize("tensors", [(), (Tensor("t", "u8", (3,)),)])
def test_a_pass_through_changes_nothing(bench: Bench, module: str, tensors: tuple[Tensor, ...]):
    head = Head("a/b", content_type="text/plain", properties=(("k", "v"),), correlation=b"\0", tensors=tensors)
    payloads = [b"abc", b"\0\xff\x80"] if tensors else [b"abc", b"", bytes(range(256)) * 400]

    output = bench.guest(module).map(make_batch(payloads, head))

    assert output.payloads == payloads
    assert list(output.rows) == list(range(len(payloads)))
    for found in output.heads or [head]:
        assert [getattr(found, name) for name in Head.__slots__] == [getattr(head, name) for name in Head.__slots__]


def test_scale_multiplies(bench: Bench):
    output = bench.guest("scale", factor="0.1").map(
        make_batch([b'{"value": 12.5}', b'{"value": "1"}', b'{"other": 1, "value": -3e10}', b"\xff"])
    )

    assert output.payloads == [b'{"value":1.25}', b'{"value":-3e+09}']
    assert output.errors == {1: "no number at value", 3: "no number at value"}


@pytest.mark.parametrize("factor", ["", "ten", "1e999", "NaN"])
def test_scale_refuses_a_factor_that_is_no_number(bench: Bench, factor: str):
    with pytest.raises(GuestTrap):
        bench.guest("scale", factor=factor)

    assert bench.logged == ["a property that must be a number is none"]


def test_threshold_passes_what_lies_between(bench: Bench):
    payloads = [json.dumps({"t": value}).encode() for value in (-1, 0, 5.5, 10, 10.001)]

    verdicts, errors = bench.guest("threshold", key="t", min="0", max="10").decide(
        "filter", make_batch([*payloads, b'{"t":null}', b""])
    )

    assert verdicts == b"\0\1\1\1\0\0\0"
    assert errors == {5: "no number at t", 6: "no number at t"}


def test_threshold_has_no_bounds_unless_told(bench: Bench):
    assert bench.guest("threshold").decide("filter", make_batch([b'{"value":-1e300}'])) == (b"\1", {})


@pytest.mark.parametrize("properties", [{"min": "2", "max": "1"}, {"min": "x"}, {"key": "k" * 256}])
def test_threshold_refuses_a_configuration_it_cannot_use(bench: Bench, properties: dict[str, str]):
    with pytest.raises(GuestTrap):
        bench.guest("threshold", **properties)

    assert len(bench.logged) == 1


def test_router_looks_at_a_user_property(bench: Bench):
    kinds = [(), (("kind", "alert"),), (("kind", "info"),), (("other", "alert"),), (("kind", ""),)]
    batch = make_batch([b""] * 5, [Head("a", properties=kind) for kind in kinds])

    assert bench.guest("router").decide("branch", batch) == (b"\0\1\0\0\0", {})
    assert bench.guest("router", equals="").decide("branch", batch) == (b"\0\0\0\0\1", {})
    assert bench.guest("router", property="other").decide("branch", batch) == (b"\0\0\0\1\0", {})


def test_bench_parse_reads_plain_and_other_spellings_alike(bench: Bench):
    values = np.random.default_rng(1).normal(size=16) * 100
    plain = json.dumps({"v": values.tolist()}, separators=(",", ":")).encode()
    others = [
        json.dumps({"v": values.tolist()}, indent=1).encode(),
        json.dumps({"a": [1, {"v": 2}], "v": values.tolist(), "b": None}).encode(),
    ]

    output = bench.guest("bench-parse", X).map(make_batch([plain, *others]))

    expected = (values * 0.1).astype(np.float32).tobytes()
    assert output.payloads == [expected] * 3
    assert output.heads[0].tensors == X


SIXTEEN = b",".join([b"1"] * 16)


@pytest.mark.parametrize(
    "payload",
    [b"", b"{}", b'{"v":[]}', b'{"v":[1,2]}', b'{"v":[%s,1]}' % SIXTEEN, b'{"v":[%s]}x' % SIXTEEN,
     b'{"v":[%s' % SIXTEEN, b'{"v":[%s]' % SIXTEEN, b'{"v":[%s]}' % SIXTEEN.replace(b"1", b"1e999")],
)  # fmt: skip
def test_bench_parse_fails_anything_else(bench: Bench, payload: bytes):
    assert bench.guest("bench-parse", X).map(make_batch([payload])).errors == {0: 'no {"v":[16 numbers]}'}


def test_bench_score_sums_squares(bench: Bench):
    rows = np.random.default_rng(1).normal(size=(50, 16)).astype(np.float32) * 0.6

    output = bench.guest("bench-score").map(make_batch([row.tobytes() for row in rows] + [b"short"]))

    found = [json.loads(payload) for payload in output.payloads]
    sums = (rows.astype(np.float64) ** 2).sum(1)
    assert np.allclose([verdict["score"] for verdict in found], sums, rtol=1e-5)
    assert [verdict["anomaly"] for verdict in found] == (sums > 5).tolist()
    assert output.errors == {50: "the payload is no f32[16]"}


def test_bench_score_of_what_is_no_number_is_null(bench: Bench):
    payload = np.full(16, np.nan, np.float32).tobytes()

    assert bench.guest("bench-score").map(make_batch([payload])).payloads == [b'{"score":null,"anomaly":false}']
