"""A real Prometheus scrapes a real web server."""

import json
import subprocess
import urllib.parse
import urllib.request

import pytest
from brokers import free_port
from views import pump
from waiting import until

from flowrt.web.address import Address
from flowrt.web.pages import pages
from flowrt.web.server import WebServer


@pytest.fixture
def scraping(prometheus, tmp_path):
    """A Prometheus that scrapes the pump's metrics every 200 ms; takes a query, gives its result."""
    server = WebServer(Address("127.0.0.1", 0), pages(lambda: [pump()]))
    server.start()
    config = tmp_path / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 200ms, scrape_timeout: 200ms}\n"
        f"scrape_configs: [{{job_name: flowrt, static_configs: [{{targets: ['{server.address}']}}]}}]\n"
    )
    port = free_port()
    command = [prometheus, f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/data"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)

    def query(expression):
        url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return json.load(answer)["data"]["result"]
        except OSError:
            return []

    yield query
    process.terminate()
    process.wait(10)
    server.stop()


def test_prometheus_reads_what_the_runtime_counted(scraping):
    until(lambda: scraping('up{job="flowrt"} == 1'), seconds=30)
    (emitted,) = scraping('flowrt_node_emitted_messages_total{graph="pump",node="features"}')
    assert emitted["value"][1] == "97"
    (latency,) = scraping('histogram_quantile(0.99, flowrt_sink_latency_seconds_bucket{node="alerts"})')
    assert float(latency["value"][1]) == pytest.approx(0.00497)
