"""What this app sells. The catalogue is code: it is checked when it is built."""

from gatekeeper import Catalog, Feature, Plan, Price, Unit

exports, masters = Unit("exports"), Unit("masters")
downloads, projects = Feature("downloads"), Feature("projects")

catalog = Catalog(
    plans=[
        Plan("free", default=True),
        Plan(
            "pro",
            name="Mixer Pro",
            includes="free",
            prices=[
                Price("pro_monthly", amount_minor=999, currency="eur", every="month"),
                Price("pro_yearly", amount_minor=9_999, currency="eur", every="year"),
            ],
            features=[downloads, projects],
            grants=[exports.every("month", 10), masters.every("month", 5)],  # of a year's, too
        ),
    ],
    declares=[exports, masters],
)
