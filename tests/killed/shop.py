"""What the killed processes sell."""

from typing import Final

from gatekeeper import Catalog, Feature, Pack, Plan, Price, Unit

SECRET: Final = "whsec_killed"

SPENT: Final = 7
"""The credits that are spent in the end."""

TOPICS: Final = ("payment.succeeded", "subscription.changed")

credits, thanks = Unit("credits"), Unit("thanks")

CATALOG: Final = Catalog(
    plans=[
        Plan("free", default=True, grants=[credits.once(5), thanks.once(1)]),
        Plan(
            "pro",
            includes="free",
            prices=[Price("pro_monthly", amount_minor=999, currency="eur", every="month")],
            features=[Feature("downloads")],
            grants=[credits.every("month", 1_000)],
        ),
    ],
    packs=[
        Pack(
            "credits_100",
            grants=credits(100),
            price=Price("topup_100", amount_minor=500, currency="eur"),
        )
    ],
)
