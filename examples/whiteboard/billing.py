"""What this app sells. The catalogue is code: it is checked when it is built."""

from gatekeeper import Catalog, Feature, Meter, MeterPrice, Pack, Plan, Price, Unit

credits = Unit("credits", low=10)
export = Feature("export")
overage = Meter(
    "ai_overage",
    event_name="ai_credits",
    prices=[MeterPrice("ai_overage_monthly", amount_minor=10, currency="eur")],  # 0.10 a credit
)

catalog = Catalog(
    plans=[
        Plan("free", default=True, grants=[credits.once(10)]),
        Plan(
            "pro",
            name="Whiteboard Pro",
            includes="free",
            prices=[Price("board_monthly", amount_minor=1_200, currency="eur", every="month")],
            features=[export],
            grants=[credits.every("month", 100, overage=overage)],
        ),
    ],
    packs=[
        Pack(
            "credits_50",
            name="50 credits",
            grants=credits(50),
            price=Price("topup_50", amount_minor=400, currency="eur"),
        )
    ],
    costs={"sketch": credits(5)},
)
