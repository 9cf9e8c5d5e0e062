"""Every operation type, as a literal table."""

from __future__ import annotations

from flowrt.operators.accumulate import AccumulateOperation
from flowrt.operators.base import Operation
from flowrt.operators.branch import BranchOperation
from flowrt.operators.concatenate import ConcatenateOperation
from flowrt.operators.decode import DecodeOperation
from flowrt.operators.delay import DelayOperation
from flowrt.operators.encode import EncodeOperation
from flowrt.operators.filter import FilterOperation
from flowrt.operators.inference import InferenceOperation
from flowrt.operators.map import MapOperation
from flowrt.operators.sink import SinkOperation
from flowrt.operators.source import SourceOperation
from flowrt.operators.transform import TransformOperation

OPERATIONS: dict[str, type[Operation]] = {
    "source": SourceOperation,
    "map": MapOperation,
    "filter": FilterOperation,
    "branch": BranchOperation,
    "concatenate": ConcatenateOperation,
    "accumulate": AccumulateOperation,
    "delay": DelayOperation,
    "inference": InferenceOperation,
    "transform": TransformOperation,
    "decode": DecodeOperation,
    "encode": EncodeOperation,
    "sink": SinkOperation,
}
"""By `operationType`."""
