"""A graph as metrics see it, with figures that are easy to find again."""

from flowrt.counters import ModelCounters, NodeCounters
from flowrt.endpoints.base import EndpointCounters
from flowrt.runtime.inbox import Inbox
from flowrt.runtime.view import EndpointView, GraphView, ModelView, NodeView
from flowrt.testing import batch_of


def node(name, kind, *, cpu=None, inbox=None, memory=0):
    return NodeView(name, kind, NodeCounters(), lambda: memory, 64 * 2**20, cpu, inbox)


def pump(*, ready=True, broken=()):
    inbox = Inbox(100, 1000)
    inbox.put(batch_of([b"abc", b"de"]))
    sensors = node("sensors", "source")
    features = node("features", "map", cpu=0.25, inbox=inbox, memory=131072)
    alerts = node("alerts", "sink")
    plant = EndpointCounters()
    graph = GraphView(
        "pump",
        "1.2.0",
        lambda: ready,
        lambda: list(broken),
        [sensors, features, alerts],
        [EndpointView("plant", plant, lambda: ready), EndpointView("plant", plant, lambda: ready)],
        [ModelView("features", "ae.onnx", ModelCounters())],
    )
    sensors.counters.received = sensors.counters.emitted = 100
    features.counters.received = 100
    features.counters.emitted = 97
    features.counters.filtered = 2
    features.counters.fault("trap")
    features.counters.drop("onError")
    features.counters.throttled_seconds = 0.5
    features.counters.processing.observe(0.0005, 4)
    alerts.counters.sent = 97
    alerts.counters.latency.observe(0.004, 97)
    plant.connected = 1
    plant.messages_in, plant.messages_out = 100, 97
    plant.dropped["malformed"] = 3
    graph.models[0].counters.rows.observe(64)
    return graph
