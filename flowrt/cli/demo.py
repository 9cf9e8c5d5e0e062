"""`flowrt demo`: the pump example, to watch, and its comparison with an offline computation."""

from __future__ import annotations

import argparse
import gc

from flowrt.demo import main as demo


def add_arguments(parser: argparse.ArgumentParser) -> None:
    demo.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    gc.enable()
    return demo.run(options)
