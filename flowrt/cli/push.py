"""`flowrt push`: an artifact of the store, or a file, into an OCI registry.

Exit status 0, 1 when it was refused or could not be reached.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from flowrt.cli.apply import add_state
from flowrt.cli.pull import add_registry, registry_of
from flowrt.errors import in_words
from flowrt.registry.blobs import Refused
from flowrt.registry.store import Store
from flowrt.registry.transfer import CHUNK
from flowrt.registry.trust import Policy
from flowrt.runtime.places import state_folder
from flowrt.updates.fetching import name_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("artifact", metavar="ARTIFACT", help="name:version in the store, or a file")
    parser.add_argument("target", metavar="oci://HOST/PATH:TAG", help="where to")
    add_registry(parser)
    add_state(parser)


def run(options: argparse.Namespace) -> int:
    from flowrt.registry.oci import parse_reference

    store = Store(state_folder(options.state) / "store")
    path = Path(options.artifact)
    try:
        reference = parse_reference(options.target)
        if path.is_file():
            name = name_of(options.artifact) if "-" in path.stem else f"{reference.name}:{reference.tag}"
            with path.open("rb") as file:
                content = store.blobs.put_unnamed(iter(lambda: file.read(CHUNK), b""))
            entry = store.take(store.made(*content, name, source=str(path)), Policy(), downgrade=True)
        else:
            entry = store.get(options.artifact)
        registry_of(reference.host, options).push(entry, reference, store.blobs)
    except (Refused, OSError) as error:
        print(f"{options.artifact}: {in_words(error, options.artifact)}", file=sys.stderr)
        return 1
    print(f"oci://{reference.host}/{reference.path}:{reference.tag}@{entry.manifest}")
    return 0
