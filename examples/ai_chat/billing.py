"""What this app sells. The catalogue is code: it is checked when it is built."""

from gatekeeper import Catalog, Feature, Pack, Plan, Price, Unit

credits = Unit("credits", low=2, expiry_notice_hours=72)
history = Feature("history")

catalog = Catalog(
    plans=[
        Plan("free", default=True, grants=[credits.once(5)]),
        Plan(
            "pro",
            name="AI Chat Pro",
            includes="free",
            prices=[
                Price("pro_monthly", amount_minor=999, currency="eur", every="month"),
                Price("pro_yearly", amount_minor=9_999, currency="eur", every="year"),
            ],
            features=[history],
            grants=[credits.every("month", 1_000, rollover=100)],
        ),
    ],
    packs=[
        Pack(
            "credits_100",
            name="100 credits",
            grants=credits(100),
            price=Price("topup_100", amount_minor=500, currency="eur"),
        )
    ],
    costs={"message": credits(1)},
)
