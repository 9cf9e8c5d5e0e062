"""The bench of updates in short: nothing is lost, bad modules go back, a kill leaves a gateway that runs."""

from brokers import needs_broker

pytestmark = needs_broker


def test_the_bench_of_updates_in_short():
    from benchmarks.updates import main

    assert main(["--swaps=1", "--bad=1", "--kills=2", "--memory=0", "--rate=200"]) == 0
