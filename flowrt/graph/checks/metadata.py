"""What the graph says of itself."""

from __future__ import annotations

from collections.abc import Iterator

from flowrt.graph.graph import Graph
from flowrt.graph.model import FEATURES
from flowrt.problem import Problem, nearest


def check(graph: Graph) -> Iterator[Problem]:
    """Missing metadata, unknown features and versions: warnings all."""
    if graph.file.metadata is None and not graph.root.get("metadata"):
        message = (
            f"there is no metadata; the graph is called '{graph.name}' after its file; add metadata: "
            f"{{name: …, version: …}}"
        )
        yield graph.warning((), "missing-metadata", message)
    for index, feature in enumerate(graph.file.module_requirements.features):
        if feature.name not in FEATURES:
            loc = ("moduleRequirements", "features", index, "name")
            remedy = nearest(feature.name, FEATURES) or f"; the known one is {', '.join(FEATURES)}"
            yield graph.warning(loc, "unknown-feature", f"feature '{feature.name}' is not known{remedy}")
    yield from _versions(graph)


def _versions(graph: Graph) -> Iterator[Problem]:
    needs = graph.file.module_requirements
    versions = {
        "apiVersion": needs.api_version,
        "runtimeVersion": needs.runtime_version,
        "hostlibVersion": needs.hostlib_version,
    }
    for key, version in versions.items():
        # AIO's preview numbered the library that modules were linked with from 0.
        known = ("0", "1") if key == "hostlibVersion" else ("1",)
        if version is not None and version.partition(".")[0] not in known:
            yield graph.warning(
                ("moduleRequirements", key),
                "unknown-version",
                f"{key} is '{version}', and this version knows {known[-1]}.x; modules may not load",
            )
