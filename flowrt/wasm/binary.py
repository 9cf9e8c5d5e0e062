"""WebAssembly's binary format below its sections: numbers, names, lists of bytes. Trusts nothing it reads.

Source: the WebAssembly core specification 2.0, chapter 5.
"""

from __future__ import annotations


class Malformed(Exception):
    """The bytes are not what the format says; the words are for the user."""


class Reader:
    """Bytes with a place in them; reading beyond the end is `Malformed`."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._at = 0

    def more(self) -> bool:
        return self._at < len(self._data)

    def place(self) -> int:
        """How many bytes were read."""
        return self._at

    def back(self, place: int) -> None:
        """Go on from an earlier place."""
        self._at = place

    def since(self, place: int) -> bytes:
        """What was read from there on."""
        return bytes(self._data[place : self._at])

    def take(self, count: int) -> memoryview:
        if count > len(self._data) - self._at:
            raise Malformed("it ends early")
        self._at += count
        return self._data[self._at - count : self._at]

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self, bits: int = 32) -> int:
        """An unsigned LEB128 number of at most so many bits."""
        value = 0
        for shift in range(0, bits, 7):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if not byte & 0x80:
                if value >> bits:
                    break
                return value
        raise Malformed(f"a number has more than {bits} bits")

    def name(self) -> str:
        try:
            return bytes(self.take(self.number())).decode()
        except UnicodeDecodeError as error:
            raise Malformed("a name is not UTF-8") from error

    def rest(self) -> memoryview:
        return self.take(len(self._data) - self._at)

    def sections(self) -> list[tuple[int, Reader]]:
        found = []
        while self.more():
            kind = self.byte()
            found.append((kind, Reader(self.take(self.number()))))
        return found


def number(value: int) -> bytes:
    """An unsigned LEB128 number."""
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def counted(items: list[bytes]) -> bytes:
    """A vector."""
    return number(len(items)) + b"".join(items)


def text(value: str) -> bytes:
    data = value.encode()
    return number(len(data)) + data


def section(kind: int, body: bytes) -> bytes:
    return bytes((kind,)) + number(len(body)) + body
