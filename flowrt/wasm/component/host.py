"""What a component may import from us: log, metrics, state store and the reading of buffers.

Every argument has the type of `wit.py`, which is compared before an instance is made. What it says is the guest's:
texts are cut, names checked, keys and values bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flowrt.counters import Labels, NodeCounters, OwnMetrics
from flowrt.errors import GuestTrap
from flowrt.graph.worlds import direct_interface, interface
from flowrt.quota.quantity import format_bytes
from flowrt.state.store import KEY_MAX, VALUE_MAX, Condition, Refused, StateStore, Version
from flowrt.wasm.component import owned, values
from flowrt.wasm.component.store import Answer, ComponentStore, HostCall
from flowrt.wasm.imports import TEXT_MAX
from flowrt.wasm.log import GuestLog

_SEVERITIES = {"warn": "warning", "critical": "error"}
_CROSSING = 72
"""Bytes that the host and the engine hold for each byte of a list while it crosses."""
_NAME_MAX = 200
_LABELS_MAX = 16
_CONDITIONS: dict[str, Condition] = {
    "only-if-does-not-exist": "new",
    "only-if-equal-or-does-not-exist": "newOrEqual",
    "unconditional": "always",
}


def host_calls(log: GuestLog, metrics: OwnMetrics, state: StateStore, counters: NodeCounters) -> list[HostCall]:
    """All functions that `wit.OFFERED` promises."""
    return [
        HostCall(interface("types"), "[method]buffer.read", _read),
        HostCall(direct_interface(interface("types")), "[method]buffer.read", _fill),
        *_log(log),
        *_metrics(metrics),
        *_state(state, counters),
    ]


def _read(store: ComponentStore, arguments: list[bytes]) -> bytes:
    payload = store.buffers.read(store.number_of(values.as_resource(arguments[0])))
    needed = len(payload) * _CROSSING
    if needed > store.memory:
        size, taken, quota = map(format_bytes, (len(payload), needed, store.memory))
        raise GuestTrap("memory", f"reading a payload of {size} takes {taken} while it crosses; its quota is {quota}")
    return owned.byte_list(payload)


def _fill(store: ComponentStore, arguments: list[bytes]) -> bytes:
    """How many bytes a payload has; in the second call they are written where the guest made room for them."""
    buffer, fill, at = arguments
    payload = store.buffers.read(store.number_of(values.as_resource(buffer)))
    if values.as_int(fill):
        store.guest.write(values.as_int(at), payload)
    return values.number(values.U32, len(payload))


def _log(log: GuestLog) -> Sequence[HostCall]:
    def write(_store: ComponentStore, arguments: list[bytes]) -> None:
        level, context = values.as_text(arguments[0]), values.as_text(arguments[1], _NAME_MAX)
        text = values.as_text(arguments[2], TEXT_MAX)
        if values.length(arguments[2]) > TEXT_MAX:
            log.cut()
        log.write(_SEVERITIES.get(level, level), f"{context}: {text}" if context else text)

    return [HostCall(interface("logger"), "log", write)]


def _metrics(metrics: OwnMetrics) -> Sequence[HostCall]:
    def add(_store: ComponentStore, arguments: list[bytes]) -> bytes:
        name, value, labels = _point(arguments)
        return _counted(metrics.add(name, values.as_int(value), labels))

    def observe(_store: ComponentStore, arguments: list[bytes]) -> bytes:
        name, value, labels = _point(arguments)
        number = values.as_float(value) if value[0] == values.F64 else float(values.as_int(value))
        return _counted(metrics.observe(name, number, labels))

    return [
        HostCall(interface("metrics"), "add-to-counter", add),
        HostCall(interface("metrics"), "record-to-histogram", observe),
    ]


def _point(arguments: list[bytes]) -> tuple[str, bytes, Labels]:
    """The name, value and labels of a metric; more than `_LABELS_MAX` labels become one that no metric may have."""
    name, (_, value) = values.as_text(arguments[0], _NAME_MAX + 1), values.as_case(arguments[1])
    listed = values.as_option(arguments[2])
    if listed is None:
        return name, value, ()
    if values.length(listed) > _LABELS_MAX:
        return name, value, (("", ""),)
    pairs = map(values.as_fields, values.as_items(listed))
    return name, value, tuple((values.as_text(k, _NAME_MAX), values.as_text(v, 4 * _NAME_MAX + 1)) for k, v in pairs)


def _counted(wrong: str | None) -> bytes:
    if wrong is None:
        return owned.result(ok=True)
    return owned.result(ok=False, value=owned.variant("incompatible-type", owned.string(wrong)))


def _state(state: StateStore, counters: NodeCounters) -> Sequence[HostCall]:
    def get(_store: ComponentStore, arguments: list[bytes]) -> bytes:
        found = state.get(_data(arguments[0], KEY_MAX))
        if found is None:
            return _answer(owned.option(None), None)
        return _answer(owned.option(owned.byte_list(found[0])), found[1])

    def put(_store: ComponentStore, arguments: list[bytes]) -> bytes:
        key, value, _, fence, options = arguments
        condition, expires = values.as_fields(options)
        version = state.set(
            _data(key, KEY_MAX),
            _data(value, VALUE_MAX),
            _CONDITIONS[values.as_text(condition)],
            expires_ms=_milliseconds(values.as_option(expires)),
            fence=_version(values.as_option(fence)),
        )
        return _answer(values.number(values.BOOL, int(version is not None)), version)

    def delete(_store: ComponentStore, arguments: list[bytes]) -> bytes:
        key, fence, _ = arguments
        count = state.delete(_data(key, KEY_MAX), fence=_version(values.as_option(fence)))
        return _answer(_count(count), None)

    def delete_value(_store: ComponentStore, arguments: list[bytes]) -> bytes:
        key, value, fence, _ = arguments
        fenced = _version(values.as_option(fence))
        count = state.delete(_data(key, KEY_MAX), fence=fenced, value=_data(value, VALUE_MAX))
        return _answer(_count(count), None)

    calls = {"get": get, "set": put, "del": delete, "vdel": delete_value}
    return [HostCall(interface("state-store"), name, _refusing(call, counters)) for name, call in calls.items()]


def _refusing(call: Callable[[ComponentStore, list[bytes]], bytes], counters: NodeCounters) -> Answer:
    """The store's refusals as the interface has them, counted."""

    def answer(store: ComponentStore, arguments: list[bytes]) -> bytes:
        try:
            return call(store, arguments)
        except Refused as refused:
            counters.state_refused += 1
            error = owned.variant("request-error", owned.string(str(refused)))
            return owned.result(ok=False, value=error)

    return answer


def _answer(response: bytes, version: Version | None) -> bytes:
    return owned.result(ok=True, value=owned.record(response=response, version=owned.option(_clock(version))))


def _clock(version: Version | None) -> bytes | None:
    if version is None:
        return None
    seconds, rest = divmod(version.ms, 1000)
    return owned.record(
        timestamp=owned.record(
            secs=values.number(values.U64, seconds), nanos=values.number(values.U32, rest * 1_000_000)
        ),
        counter=values.number(values.U64, version.counter),
        node_id=owned.string(version.node),
    )


def _version(value: bytes | None) -> Version | None:
    if value is None:
        return None
    seconds, counter, node = values.as_fields(value)
    secs, nanos = map(values.as_int, values.as_fields(seconds))
    ms, count = secs * 1000 + nanos // 1_000_000, values.as_int(counter)
    if max(ms, count) >= 1 << 62:
        raise Refused("a fencing token that is no time")
    return Version(ms, count, values.as_text(node, _NAME_MAX))


def _milliseconds(value: bytes | None) -> int | None:
    """A duration, at least one millisecond."""
    if value is None:
        return None
    seconds, nanos = map(values.as_int, values.as_fields(value))
    return max(min(seconds, 1 << 40) * 1000 + nanos // 1_000_000, 1)


def _data(value: bytes, limit: int) -> bytes:
    """A key or value; one that is too large is refused by its size, before it is copied."""
    if values.length(value) > limit:
        raise Refused(f"it has {values.length(value)} bytes; the most is {limit}")
    return values.as_bytes(value)


def _count(count: int) -> bytes:
    return values.number(values.S64, count & 0xFFFFFFFFFFFFFFFF)
