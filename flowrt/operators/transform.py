"""`transform`: reshapes, drops, routes or thins out messages by rules, without a module.

The rules are those of Azure IoT Operations' built-in transforms, as YAML or as the JSON text that AIO takes:
[transforms.md](transforms.md) has the language and examples. Exactly one of `map`, `filter`, `branch`, `throttle`,
`rules` or a window's bounds says what it is. A `filter` drops the messages for which a rule is **true**, the other way
round than a filter module; a `branch` has the arms `"True"` and `"False"`.
"""

from __future__ import annotations

from typing import Any, Literal

from flowrt.operators.base import Operation
from flowrt.options import Field, Options
from flowrt.transforms.json_text import TextError, from_json
from flowrt.transforms.rules import (
    RULES_MAX,
    BranchRule,
    Dataset,
    FilterRule,
    MapRule,
    Rules,
    Throttle,
    WindowCount,
    WindowDelay,
    WindowMemory,
    WindowSession,
    WindowSliding,
    WindowTriggers,
)
from flowrt.transforms.settings import Settings


class TransformOperation(Operation):
    """Reshapes, drops, routes or thins out messages by rules."""

    operation_type: Literal["transform"]
    module: str | None = Field(None, max_length=1024)
    """AIO's name of the built-in transform that this is, such as `azureiotoperations/graph-dataflow-map:1.0.0`; its
    configuration stands here or in `moduleConfigurations`."""
    map: tuple[MapRule, ...] | None = Field(None, max_length=RULES_MAX)
    """Makes one document of another: rules in their order."""
    filter: tuple[FilterRule, ...] | None = Field(None, max_length=RULES_MAX)
    """Drops the messages for which any rule is true."""
    branch: BranchRule | None = None
    """Sends each message down the arm that the rule gives."""
    datasets: tuple[Dataset, ...] = Field((), max_length=RULES_MAX)
    """With `map`, `filter` or `branch`: records that messages are enriched with."""
    validate_schema: bool = False
    """With `filter`: drop what does not fit the connection's schema."""
    rules: str | Rules | None = None
    """AIO's configuration `rules`, as JSON text or as YAML: all of the above in one, and a window's figures."""
    throttle: str | Throttle | None = None
    """AIO's configuration `throttle`, as JSON text or as YAML: lets a message of some topics pass only so often."""
    delay: str | WindowDelay | None = None
    """AIO's configuration `delay`, as JSON text or as YAML: a window's length."""
    count: str | WindowCount | None = None
    """AIO's configuration `count`, as JSON text or as YAML: a window's number of messages."""
    memory: str | WindowMemory | None = None
    """AIO's configuration `memory`, as JSON text or as YAML: a window's size."""
    triggers: str | WindowTriggers | None = None
    """AIO's configuration `triggers`, as JSON text or as YAML: what messages close a window."""

    sliding: str | WindowSliding | None = None
    """Windows that overlap: the last `length`, each time `every` has passed. AIO has none."""
    session: str | WindowSession | None = None
    """A window that ends once nothing came for `gap`. AIO has none."""

    def given(self, key: str) -> Any:
        """One of AIO's configurations, read where it is a text. Raises `TextError`."""
        value = getattr(self, key)
        return from_json(value, CONFIGURATIONS[key]) if isinstance(value, str) else value

    @property
    def kinds(self) -> tuple[str, ...]:
        """`map`, `filter`, `branch`, `throttle`, `window`: one, in a sound file; none where a text cannot be read."""
        try:
            return self.settings().kinds
        except TextError:
            return ()

    @property
    def has_arms(self) -> bool:
        """Whether it is a branch."""
        return "branch" in self.kinds

    @property
    def across_topics(self) -> str | None:
        """What makes messages of one topic count for another's, in words; None where nothing does."""
        from flowrt.transforms.paths import parse_input  # asked of few graphs

        settings = self.settings()
        rules = settings.rules
        given = [rule.inputs for rule in rules.map or ()] + [rule.inputs for rule in rules.filter or ()]
        given += [rules.branch.inputs] if rules.branch is not None else []
        if settings.throttle is not None:
            return "it counts the messages of several topics together"
        if "window" in settings.kinds:
            return "its windows gather messages of all topics"
        if any(parse_input(text).last for inputs in given for text in inputs):
            return "it remembers last values of all topics together (? $last)"
        return None

    def settings(self) -> Settings:
        """All that it was told. Raises `TextError` for a text that cannot be read."""
        found = {key: self.given(key) for key in CONFIGURATIONS}
        rules: Rules = found.pop("rules") or Rules()
        own = {key: getattr(self, key) for key in ("map", "filter", "branch") if getattr(self, key) is not None}
        own["datasets"] = (*self.datasets, *rules.datasets)
        own["validate_schema"] = self.validate_schema or rules.validate_schema
        return Settings(rules.model_copy(update=own), **found)


CONFIGURATIONS: dict[str, type[Options]] = {
    "rules": Rules,
    "throttle": Throttle,
    "delay": WindowDelay,
    "count": WindowCount,
    "memory": WindowMemory,
    "triggers": WindowTriggers,
    "sliding": WindowSliding,
    "session": WindowSession,
}
"""AIO's configuration keys, and the two that are ours."""
WINDOW = ("delay", "count", "memory", "triggers", "sliding", "session")
"""Those that close a window."""
