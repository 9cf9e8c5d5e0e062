"""`python -m scripts.models [camera|logs|vibration]…`: train and write the models of the example graphs, half a minute
each. Needs the extra `demo`, for the package `onnx`."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from scripts.models import camera, logs, vibration

ROOT = Path(__file__).parents[2]
MADE = {
    "camera": (camera.make, ["graphs/models/camera-class.onnx"]),
    "logs": (logs.make, ["graphs/models/log-class.onnx", "modules/log-classifier/log-class.onnx"]),
    "vibration": (vibration.make, ["graphs/models/vibration-class.onnx"]),
}


def main() -> int:
    names = sys.argv[1:] or list(MADE)
    if unknown := set(names) - set(MADE):
        print(f"no model '{unknown.pop()}'; there are {', '.join(MADE)}", file=sys.stderr)
        return 2
    for name in names:
        make, places = MADE[name]
        data, accuracy = make()
        for place in places:
            (ROOT / place).write_bytes(data)
        print(f"{name}: {accuracy:.1%} of unseen examples right, {len(data)} bytes, {hashlib.sha256(data).hexdigest()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
