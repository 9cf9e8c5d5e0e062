"""Waiting for what another process does, with a deadline."""

import time


def until(happened, *, seconds=10.0):
    """What `happened` gives once it is true; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (result := happened()):
        assert time.monotonic() < deadline, f"did not happen within {seconds} s"
        time.sleep(0.02)
    return result
