"""The simulator, and a database of each kind."""

from gatekeeper.testing.stripe.fixtures import (  # noqa: F401 -- fixtures are found by their names
    stripe_sim,
    stripe_sim_openapi,
    stripe_sim_server,
    stripe_sim_settings,
    stripe_sim_spec,
)
