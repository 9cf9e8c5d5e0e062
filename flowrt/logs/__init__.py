"""Events become log lines here, and only here."""

from flowrt.logs.log import Format, Logs

__all__ = ["Format", "Logs"]
