"""What users write of updates that come from afar: where from, and who may ask for them."""

from __future__ import annotations

from typing import Annotated

from flowrt.endpoints.mqtt.config import Credentials, Topic
from flowrt.endpoints.topics import filter_fault
from flowrt.options import AfterValidator, Field, Options
from flowrt.quota.quantity import Bytes, Seconds


def _filter(value: str) -> str:
    if fault := filter_fault(value):
        raise ValueError(fault)
    return value


class Access(Options):
    """A registry, or a web server, and how it is reached."""

    host: str = Field(min_length=1, max_length=255, pattern=r"^[^/\s]+$")
    """`HOST` or `HOST:PORT`, as in the references to what it holds."""
    insecure: bool = False
    """Plain HTTP. For a bench, never for a plant."""
    credentials: Credentials | None = None
    """User and password, or token, where it asks for them."""
    rate: Bytes | None = Field(None, ge=1)
    """Bytes a second that are taken from it at most: for a link that is paid for by the byte."""


class Commands(Options):
    """A topic on which this graph takes signed commands: `apply`, `rollback` and `status` (docs/updates.md)."""

    endpoint: str = Field(min_length=1, max_length=256)
    """Name of the MQTT endpoint whose broker it is at. It has a connection of its own there."""
    topic: Topic
    """Where commands come. A command is signed for this topic: give each gateway its own."""
    answers: Annotated[str, AfterValidator(_filter)] | None = None
    """The only response topics that are answered, a filter. Unset: those below `topic`."""

    @property
    def answered(self) -> str:
        """The filter that response topics must match."""
        return self.answers or f"{self.topic}/#"


class Follow(Options):
    """A tag, or an address, behind which new versions appear."""

    source: str = Field(max_length=2048, pattern=r"^(oci|https?)://[^/\s]+/\S+$")
    """`oci://HOST/PATH:TAG` or `http(s)://HOST/…`. A graph takes this one's place, a module or a model is tried in
    it."""
    name: str | None = Field(None, max_length=400)
    """`NAME:VERSION` that a module or model goes by in this graph. Unset: the last part of the path, and the tag."""
    every: Seconds = Field(3600.0, ge=1, le=2_592_000)
    """How often to ask whether there is something new. It costs a few hundred bytes."""
    jitter: float = Field(0.1, ge=0, le=1)
    """Share of `every` by which that is put off at random, so that a thousand gateways do not ask at once."""
