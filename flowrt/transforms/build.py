"""From settings to a transform at work."""

from __future__ import annotations

from flowrt.transforms.deciding import BranchTransform, Conforms, FilterTransform
from flowrt.transforms.enrichment import Lookup
from flowrt.transforms.mapping import MapTransform
from flowrt.transforms.settings import Settings
from flowrt.transforms.sliding import SlidingTransform
from flowrt.transforms.throttle import Matches, ThrottleTransform
from flowrt.transforms.window import WindowTransform

Transform = MapTransform | FilterTransform | BranchTransform | ThrottleTransform | WindowTransform | SlidingTransform


def transform_of(
    settings: Settings, lookup: Lookup, matches: Matches, conforms: Conforms | None = None
) -> Transform | None:
    """The transform of settings that the checks found nothing in; None for settings of no kind or of several.

    `conforms` judges documents by the schema of the connection they came by, for a filter with `validateSchema`.
    """
    rules = settings.rules
    match settings.kinds:
        case ("map",):
            return MapTransform(rules, lookup)
        case ("filter",):
            return FilterTransform(rules, lookup, conforms if rules.validate_schema else None)
        case ("branch",):
            return BranchTransform(rules, lookup)
        case ("throttle",) if settings.throttle is not None:
            return ThrottleTransform(settings.throttle, matches)
        case ("window",) if settings.sliding is not None:
            return SlidingTransform(rules.accumulate or (), settings.sliding, lookup)
        case ("window",):
            return WindowTransform(settings, lookup)
    return None
