"""Identifiers that look like Stripe's, the same ones again for the same seed."""

import random
import string
from typing import TypeVar

T = TypeVar("T")

_ALPHABET = string.ascii_letters + string.digits

# Stripe's ids are 24 characters after most prefixes, 14 after `cus_`/`prod_`/`si_`, and 58 in a
# checkout session's. Nobody may parse them (Stripe may send up to 255 characters).
_LENGTHS = {"cus": 14, "prod": 14, "si": 14, "cs_test": 58, "cs_live": 58, "req": 14, "whsec": 32}


class IdFactory:
    """Random ids under a prefix; with a seed, a run repeats them."""

    def __init__(self, seed: int | None = None) -> None:
        self._random = random.Random(seed)

    def new(self, prefix: str) -> str:
        """`prefix_` and as many letters and digits as Stripe gives that prefix."""
        return f"{prefix}_{self.token(_LENGTHS.get(prefix, 24))}"

    def token(self, length: int) -> str:
        """A bare token, e.g. the part of a client secret after `_secret_`."""
        return "".join(self._random.choices(_ALPHABET, k=length))

    def shuffled(self, values: list[T]) -> list[T]:
        """A shuffled copy: the order of deliveries repeats with the seed."""
        return self._random.sample(values, len(values))
