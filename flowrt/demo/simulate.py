"""`flowrt demo simulate`: the simulated pump on a broker of yours."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TextIO

from flowrt.demo import simulator
from flowrt.demo.client import Client
from flowrt.demo.screen import clock

_FOREVER = 10**9


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--broker", default="127.0.0.1:1883", metavar="HOST:PORT", help="default: %(default)s")
    parser.add_argument("--topic", default="plant/skid/pump", help="default: %(default)s")
    parser.add_argument("--fault", choices=simulator.FAULTS, default="valve", help="default: %(default)s")
    parser.add_argument("--fault-at", type=int, metavar="S", help="pump second at which it begins (default: never)")
    parser.add_argument(
        "--seconds", type=int, default=_FOREVER, metavar="S", help="stop after so many (default: never)"
    )
    parser.add_argument("--pace", type=float, default=1.0, help="pump seconds in one of ours (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")


def run(options: argparse.Namespace, out: TextIO = sys.stdout) -> int:
    """Publishes at QoS 1 with MQTT 3.1.1, until the end or Ctrl-C. Raises StartError without a broker."""
    host, _, port = options.broker.rpartition(":")
    start = time.monotonic()
    sent = 0
    with Client(host or "127.0.0.1", int(port), v5=False) as client:
        out.write(f"publishing to {options.topic} at {options.broker}; Ctrl-C ends\n")
        try:
            pump = simulator.readings(options.seed, options.seconds, options.fault_at, options.fault)
            for second, reading in enumerate(pump):
                time.sleep(max(start + second / options.pace - time.monotonic(), 0))
                last = client.publish(options.topic, reading, second)
                sent += 1
            last.wait_for_publish(10)
        except KeyboardInterrupt:
            out.write("\n")
    out.write(f"{sent} readings, {clock(sent)} of the pump's time\n")
    return 0
