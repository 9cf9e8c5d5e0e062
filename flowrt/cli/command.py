"""`flowrt command`: a signed command for a graph that takes commands by MQTT, ready to be published.

Exit status 0, 3 when the key cannot be used.
"""

from __future__ import annotations

import argparse
import secrets
from pathlib import Path

from flowrt.errors import StartError
from flowrt.quota.quantity import parse_seconds
from flowrt.registry.orders import LIFETIME_MAX, claims_for, signed_order
from flowrt.registry.trust import SECRET_BYTES_MIN


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("do", choices=("apply", "rollback", "status"), help="what is to be done")
    parser.add_argument("artifact", nargs="?", default="", metavar="ARTIFACT", help="name:version, digest or oci://…")
    parser.add_argument("--topic", required=True, metavar="TOPIC", help="the graph's updates.commands.topic")
    parser.add_argument("--key-name", required=True, metavar="NAME", help="what the trust policy calls the key")
    keys = parser.add_mutually_exclusive_group(required=True)
    keys.add_argument("--key", type=Path, metavar="FILE", help="private key, PEM")
    keys.add_argument("--secret-file", type=Path, metavar="FILE", help="what both sides know")
    parser.add_argument(
        "--bring", action="append", default=[], metavar="oci://…", help="pulled before; may be repeated"
    )
    parser.add_argument("--again", action="store_true", help="also when the same change has failed before")
    parser.add_argument(
        "--valid", type=_seconds, default=600, metavar="TIME", help="until then (default 10m, at most 24h)"
    )


def run(options: argparse.Namespace) -> int:
    if bool(options.artifact) != (options.do == "apply"):
        raise StartError("apply has an ARTIFACT; rollback and status have none")
    path = options.key or options.secret_file
    try:
        key = path.read_bytes()
    except OSError as error:
        raise StartError(f"{path} cannot be read: {error.strerror}") from None
    shared = options.secret_file is not None
    if shared and len(key := key.strip()) < SECRET_BYTES_MIN:
        raise StartError(f"{path}: a secret has {SECRET_BYTES_MIN} bytes at least")
    more = {"artifact": options.artifact, "bring": options.bring, "again": options.again}
    more = {name: value for name, value in more.items() if value}
    claims = claims_for(options.topic, options.do, secrets.token_hex(16), options.valid, **more)
    print(signed_order(claims, options.key_name, key, shared=shared))
    return 0


def _seconds(text: str) -> int:
    try:
        seconds = int(parse_seconds(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if not 1 <= seconds <= LIFETIME_MAX:
        raise argparse.ArgumentTypeError("from 1s to 24h")
    return seconds
