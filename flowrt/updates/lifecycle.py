"""The life of an update: a table of states and what may happen in each. Pure."""

from __future__ import annotations

from typing import Literal

State = Literal[
    "prepared", "checked", "shadowed", "canary", "probation", "proven", "refused", "rolledBack", "interrupted"
]
"""How far an update has come. `prepared`: what is new is loaded and warm beside what runs; `checked`: it has handled
the golden messages; `shadowed`: and live ones beside the old version; `canary`: it carries some topics; `probation`: it
carries all of them, the old version ready to take over; `proven`: the old version is gone; `refused`: it never carried
traffic; `rolledBack`: the old version carries all again; `interrupted`: the program ended in the midst of it."""

Event = Literal["begin", "check", "shadow", "divide", "take", "prove", "fail", "cut"]

FIRST: State = "interrupted"
"""What an update that is written down is in until something has happened: a power cut then leaves it there."""
TABLE: dict[tuple[State, Event], State] = {
    ("interrupted", "begin"): "prepared",
    ("interrupted", "fail"): "refused",
    ("prepared", "check"): "checked",
    ("prepared", "fail"): "refused",
    ("checked", "shadow"): "shadowed",
    ("checked", "fail"): "refused",
    ("shadowed", "divide"): "canary",
    ("shadowed", "take"): "probation",
    ("shadowed", "fail"): "refused",
    ("canary", "take"): "probation",
    ("canary", "fail"): "rolledBack",
    ("probation", "prove"): "proven",
    ("probation", "fail"): "rolledBack",
    **{(state, "cut"): "interrupted" for state in ("prepared", "checked", "shadowed", "canary", "probation")},
}
"""What becomes of an update. Whatever is not here cannot happen."""
ENDS: frozenset[State] = frozenset(("proven", "refused", "rolledBack"))
CARRIES: frozenset[State] = frozenset(("canary", "probation", "proven"))
"""Where the new version's results leave the graph."""


def after(state: State, event: Event) -> State:
    """The next state. Raises KeyError for what cannot happen."""
    return TABLE[state, event]
