"""Wiring: which parts a gate is made of, and from which settings each is made."""

from gatekeeper.wiring.assembling import assemble
from gatekeeper.wiring.back_office import back_office_of
from gatekeeper.wiring.loops import loops_of, watched
from gatekeeper.wiring.parts import Parts, StripeParts

__all__ = ["Parts", "StripeParts", "assemble", "back_office_of", "loops_of", "watched"]
