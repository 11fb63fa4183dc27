"""What errors say to whoever reads them: in English, French and Dutch."""

from gatekeeper.asgi.messages.wording import LANGUAGES, Wording, wording_of

__all__ = ["LANGUAGES", "Wording", "wording_of"]
