"""What the bench of quotas compares with is the pipeline still, whatever has been taken out of it."""

import sys
from pathlib import Path
from subprocess import run

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("how", ["--bounded", "--unbounded"])
def test_both_sides_do_their_work_and_tell_what_it_took(how):
    command = [sys.executable, "-m", "benchmarks.quota_pipeline", how]
    told = run(command, input="\n\n", cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert told.returncode == 0, told.stderr
    assert all(0 < float(line) < 60 for line in told.stdout.splitlines())
    assert len(told.stdout.splitlines()) == 2
