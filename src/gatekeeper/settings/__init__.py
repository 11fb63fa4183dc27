"""The settings: from the environment, from a file, or given in code; checked together at start-up.

`declared` has all of them, `values` what the text of one may be, `faults` the words for what is
wrong.
"""

from gatekeeper.settings.declared import Settings

__all__ = ["Settings"]
