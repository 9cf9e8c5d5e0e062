import subprocess

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse
from views import pump

from flowrt.counters import Histogram
from flowrt.events import DROPS, FAULTS
from flowrt.metrics import FAMILIES, PROCESS, Metrics
from flowrt.values import replace

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
LABELS = ("graph", "version", "node", "endpoint", "model", "reason", "kind", "le")


def scraped(graphs=None):
    """Sample name and label values to value."""
    text, _ = Metrics(lambda: [pump()] if graphs is None else graphs).exposition()
    return {
        (sample.name, *(sample.labels[label] for label in LABELS if label in sample.labels)): sample.value
        for family in parse(text.decode())
        for sample in family.samples
    }


@pytest.mark.parametrize(
    ("sample", "value"),
    [
        (("flowrt_graph_info", "pump", "1.2.0"), 1),
        (("flowrt_graph_ready", "pump"), 1),
        (("flowrt_node_received_messages_total", "pump", "sensors"), 100),
        (("flowrt_node_emitted_messages_total", "pump", "features"), 97),
        (("flowrt_node_emitted_messages_total", "pump", "alerts"), 97),
        (("flowrt_node_dropped_messages_total", "pump", "features", "filtered"), 2),
        (("flowrt_node_dropped_messages_total", "pump", "features", "onError"), 1),
        (("flowrt_node_dropped_messages_total", "pump", "features", "overflow"), 0),
        (("flowrt_node_faulted_messages_total", "pump", "features", "trap"), 1),
        (("flowrt_node_faulted_messages_total", "pump", "alerts", "send"), 0),
        (("flowrt_node_processing_seconds_bucket", "pump", "features", "0.0003"), 0),
        (("flowrt_node_processing_seconds_bucket", "pump", "features", "0.001"), 4),
        (("flowrt_node_processing_seconds_bucket", "pump", "features", "+Inf"), 4),
        (("flowrt_node_processing_seconds_count", "pump", "features"), 4),
        (("flowrt_node_processing_seconds_sum", "pump", "features"), 0.002),
        (("flowrt_node_cpu_limit_cores", "pump", "features"), 0.25),
        (("flowrt_node_cpu_throttled_seconds_total", "pump", "features"), 0.5),
        (("flowrt_node_memory_bytes", "pump", "features"), 131072),
        (("flowrt_node_memory_limit_bytes", "pump", "features"), 67108864),
        (("flowrt_node_waiting_messages", "pump", "features"), 2),
        (("flowrt_node_waiting_bytes", "pump", "features"), 5),
        (("flowrt_sink_latency_seconds_bucket", "pump", "alerts", "0.005"), 97),
        (("flowrt_endpoint_connected", "pump", "plant"), 1),
        (("flowrt_endpoint_received_messages_total", "pump", "plant"), 100),
        (("flowrt_endpoint_dropped_messages_total", "pump", "plant", "malformed"), 3),
        (("flowrt_model_batch_messages_bucket", "pump", "features", "ae.onnx", "64.0"), 1),
        (("flowrt_model_inference_seconds_count", "pump", "features", "ae.onnx"), 0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_figure_stands_where_its_counter_says(sample, value):
    assert scraped()[sample] == value


@pytest.mark.parametrize(
    "sample",
    [
        ("flowrt_node_cpu_limit_cores", "pump", "sensors"),
        ("flowrt_node_cpu_throttled_seconds_total", "pump", "sensors"),
        ("flowrt_node_waiting_messages", "pump", "sensors"),
        ("flowrt_sink_latency_seconds_count", "pump", "features"),
        ("flowrt_node_processing_seconds_count", "pump", "sensors"),
    ],
    ids=" ".join,
)
def test_what_does_not_apply_is_absent(sample):
    assert sample not in scraped()


def test_everything_declared_is_exposed_and_everything_exposed_is_declared():
    families = {
        family.name for family in parse_openmetrics(Metrics(lambda: [pump()]).exposition(OPENMETRICS)[0].decode())
    }
    assert families == {family.name for family in FAMILIES} | {name.removesuffix("_total") for name in PROCESS}


def test_closed_lists_are_exposed_whole():
    names = [sample for sample in scraped() if sample[2:3] == ("features",)]
    assert {sample[3] for sample in names if sample[0] == "flowrt_node_faulted_messages_total"} == set(FAULTS)
    assert {sample[3] for sample in names if sample[0] == "flowrt_node_dropped_messages_total"} == set(DROPS)


def test_no_graph_no_figures_but_those_of_the_process():
    assert {sample[0].split("_")[0] for sample in scraped([])} == {"process", "flowrt"}
    ours = {sample[0] for sample in scraped([]) if sample[0].startswith("flowrt")}
    store = {"flowrt_store_bytes", "flowrt_store_evictions_total"}
    assert ours == {"flowrt_build_info", "flowrt_model_registry_total", *store}


def test_labels_are_escaped():
    graph = replace(pump(), name='odd"\n\\name')
    assert ("flowrt_graph_ready", 'odd"\n\\name') in scraped([graph])


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/html,*/*", "text/plain; version=0.0.4; charset=utf-8"),
        (OPENMETRICS, "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        ("application/openmetrics-text; version=one", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
    ],
)
def test_the_format_is_the_one_asked_for(accept, content_type):
    text, given = Metrics(list).exposition(accept)
    assert given.startswith(content_type)
    assert text.endswith(b"# EOF\n") == given.startswith("application/openmetrics-text")


def test_promtool_has_nothing_to_object(promtool):
    text, _ = Metrics(lambda: [pump()]).exposition()
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


@pytest.mark.parametrize(("value", "bucket"), [(-1.0, 0), (1.0, 0), (1.0001, 1), (2.0, 1), (3.0, 2)])
def test_a_bound_includes_itself(value, bucket):
    histogram = Histogram((1.0, 2.0))
    histogram.observe(value, 3)
    assert histogram.counts == [3 if place == bucket else 0 for place in range(3)]
    assert (histogram.count, histogram.sum) == (3, pytest.approx(3 * value))
