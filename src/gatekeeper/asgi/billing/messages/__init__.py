"""Problems in the words of whoever reads them: English, French and Dutch."""

from gatekeeper.asgi.billing.messages.problems import LANGUAGES, localised_problem

__all__ = ["LANGUAGES", "localised_problem"]
