"""HOST:PORT, as `--metrics` takes it."""

from __future__ import annotations

import ipaddress
import socket

from flowrt.errors import StartError
from flowrt.values import Struct


class Address(Struct, frozen=True):
    """Where to listen. Port 0 lets the system pick a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def resolve(self) -> tuple[socket.AddressFamily, tuple[str, int]]:
        """Family and numeric address to bind. Raises `StartError` for a name that does not resolve."""
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except (OSError, UnicodeError) as error:
            raise StartError(f"cannot listen on {self}: '{self.host}' does not resolve: {error}") from error
        family, _, _, _, address = found[0]
        return family, (str(address[0]), int(address[1]))


def parse_address(text: str) -> Address:
    """`127.0.0.1:9464`, `localhost:0`, `[::1]:9464`. Raises ValueError with a sentence for the user."""
    host, colon, port = text.rpartition(":")
    if not colon or not host:
        raise ValueError(f"'{text}' is not HOST:PORT, as in 127.0.0.1:9464")
    if not (port.isascii() and port.isdecimal() and int(port) <= 65535):
        raise ValueError(f"'{port}' in '{text}' is not a port: a number from 0 to 65535, 0 for a free one")
    if host.startswith("[") and host.endswith("]"):
        return Address(_ipv6(host[1:-1], text), int(port))
    if ":" in host:
        raise ValueError(f"'{text}': write an IPv6 address in brackets, as in [::1]:9464")
    if not host.isprintable() or any(char in host for char in " /@?#[]"):
        raise ValueError(f"'{host}' in '{text}' is neither an address nor a host name")
    return Address(host, int(port))


def _ipv6(host: str, text: str) -> str:
    try:
        return str(ipaddress.IPv6Address(host))
    except ValueError:
        raise ValueError(f"'{host}' in '{text}' is not an IPv6 address") from None
