"""What users write: declared once, validated only where it has to be."""

from flowrt.options.declared import *  # noqa: F403  # its __all__
