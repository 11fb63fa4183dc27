"""How the gate is."""

from gatekeeper.gate.wired import Wired
from gatekeeper.services.health import Health


class HealthMethods(Wired):
    """What load balancers and people on call ask."""

    async def health(self) -> Health:
        """Whether everything that the gate works with works. Never raises, and takes no longer
        than `health_timeout_seconds`; a look is good for a second. See `services.health`."""
        return await self._parts.health.look()
