"""A catalogue with rates of every kind, and with thresholds."""

from typing import Any

from gatekeeper import Catalog, Gatekeeper, Plan, Settings, Unit
from gatekeeper.catalog import Choice, Term
from gatekeeper.storage.port import Store
from gatekeeper.types import Clock

credits, exports = Unit("credits", low=2, expiry_notice_hours=72), Unit("exports")


def rated_catalog(*, large: int = 15) -> Catalog:
    """Everybody begins with 5 credits. `large` is what 1,000 tokens that come out of it cost."""
    return Catalog(
        plans=[
            Plan("free", default=True, grants=[credits.once(5)]),
            Plan(
                "pro",
                includes="free",
                grants=[credits.every("month", 1_000)],
                costs={"text": credits.per(2_000)},
            ),
        ],
        costs={
            "text": credits.per(1_000),
            "image": credits.formula(terms=[Term(1, 1_000_000, ("width", "height"))]),
            "chat": Choice(
                "model",
                {
                    "small": credits.formula(input=(1, 1_000), output=(2, 1_000)),
                    "large": credits.formula(base=1, input=(3, 1_000), output=(large, 1_000)),
                },
            ),
        },
        declares=[exports],
    )


def rated_gate(
    url: str = "sqlite:////nowhere",
    *,
    catalog: Catalog | None = None,
    store: Store | None = None,
    clock: Clock | None = None,
    **settings: Any,
) -> Gatekeeper:
    loaded = Settings.load(database_url=url, **settings)
    return Gatekeeper(catalog or rated_catalog(), loaded, store=store, clock=clock)
