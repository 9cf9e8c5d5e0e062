import re
import subprocess
from pathlib import Path

from flowrt.metrics import FAMILIES

ALERTS = Path(__file__).parents[2] / "deploy/prometheus-alerts.yaml"


def test_promtool_has_nothing_to_object_to_in_the_alerts(promtool):
    done = subprocess.run([promtool, "check", "rules", str(ALERTS)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_alerts_ask_for_metrics_that_exist():
    names = {family.sample_name + ("_bucket" if family.kind == "histogram" else "") for family in FAMILIES}
    asked = set(re.findall(r"\bflowrt_\w+", ALERTS.read_text()))
    assert asked <= names
