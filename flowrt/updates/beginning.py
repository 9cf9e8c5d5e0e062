"""What a start runs: what the file says, or what was proven last. Pure."""

from __future__ import annotations

from flowrt.updates.journal import CUTS_MAX, Candidate, Record
from flowrt.values import Struct, replace


class Beginning(Struct, frozen=True):
    """How one graph starts."""

    proven: bool
    """Whether to run the proven version instead of what the file says."""
    then: bool
    """Whether to try the candidate once that runs."""
    record: Record
    """What is to be written down before."""
    reason: str = ""
    """Why it is not what the file says, for people."""


def beginning(record: Record, wanted: str | None) -> Beginning:
    """`wanted`: the fingerprint of what the file says, None where that has problems."""
    candidate = record.candidate
    if record.proven is None:
        return Beginning(False, False, replace(record, base=wanted or record.base))
    if candidate is not None and wanted in (
        record.base, candidate.deployment.fingerprint, record.proven.fingerprint, None
    ):  # fmt: skip
        return _after_a_cut(record, candidate, wanted)
    if wanted is None:
        return Beginning(True, False, record, "the file has problems")
    if wanted == record.proven.fingerprint:
        return Beginning(False, False, replace(record, base=wanted, candidate=None))
    if wanted == record.base:  # what was applied since counts, whatever file it came from
        return Beginning(True, False, record, "the last update came from another file, or was rolled back")
    return Beginning(False, False, replace(record, base=wanted))


def _after_a_cut(record: Record, candidate: Candidate, wanted: str | None) -> Beginning:
    """The program ended in the midst of an update."""
    base = wanted or record.base
    cuts = candidate.cuts + 1
    if cuts >= CUTS_MAX:
        reason = f"interrupted: an update was cut {cuts} times; it is not tried again"
        bad = {**record.bad, candidate.attempt: reason}
        return Beginning(True, False, replace(record, base=base, candidate=None, bad=bad), reason)
    again = replace(candidate, cuts=cuts)
    words = "an update was interrupted; the last proven version runs while it is tried again"
    return Beginning(True, True, replace(record, base=base, candidate=again), words)
