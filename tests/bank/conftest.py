"""Databases for the bank."""

from tests.gates import (  # noqa: F401 -- fixtures
    gate_url,
)
