"""What the gate tells the outside, by its outbox."""

from collections.abc import Callable
from typing import TypeVar

from gatekeeper.gate.wired import Wired
from gatekeeper.services.outbox import Receiver

R = TypeVar("R", bound=Receiver)


class TellingMethods(Wired):
    """Who is told of what happens to customers."""

    def on(self, *topics: str, name: str | None = None) -> Callable[[R], R]:
        """Have a coroutine function called with each signal of these topics, at least once and in
        the order of each customer: `@gate.on("credits.low")`.

        `name` is stored with what it is to receive; by default it is where the function stands.

        Raises:
            RegistrationError: there is no such topic, the name is taken, the function is no
                coroutine function, or delivery has begun.
        """
        return self.signals.on(*topics, name=name)
