"""Names of Kafka topics. Pure."""

from __future__ import annotations

NAME_MAX = 249


def topic_name_fault(topic: str) -> str | None:
    """What is wrong with the name of a Kafka topic, or None."""
    if not topic or len(topic) > NAME_MAX or topic in {".", ".."}:
        return f"a Kafka topic has 1 to {NAME_MAX} characters"
    if not all(char.isascii() and (char.isalnum() or char in "._-") for char in topic):
        return "a Kafka topic is letters, digits, '.', '_' and '-'"
    return None
