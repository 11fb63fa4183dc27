"""The back office: what people who run the app do, each with its record."""

from gatekeeper.services.back_office.log import ActionLog
from gatekeeper.services.back_office.mandates import Act, Change, Mandate, act, carry_out

__all__ = ["Act", "ActionLog", "Change", "Mandate", "act", "carry_out"]
