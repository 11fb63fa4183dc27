"""Reports over months, as JSON or for a spreadsheet."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from starlette.responses import Response

from gatekeeper.asgi.billing.operations import Call

CSV: str = "text/csv"

Month = Annotated[
    str, Meta(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$(?!\n)", min_length=7, max_length=7)
]
"""A month in UTC: "2026-11"."""


class ReportQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Which months, and how.

    Attributes:
        since, until: months, both included; by default the last twelve.
        format: csv for spreadsheets; without it the header Accept decides.
    """

    since: Month | None = None
    until: Month | None = None
    format: Literal["json", "csv"] | None = None


def wants_csv(call: Call[None, ReportQuery]) -> bool:
    """Whether a report is to be CSV."""
    if call.query.format is not None:
        return call.query.format == "csv"
    return call.request.headers.get("accept", "").startswith(CSV)


def csv_answer(text: str, name: str) -> Response:
    """A report to be saved."""
    headers = {
        "cache-control": "no-store",
        "content-disposition": f'attachment; filename="{name}"',
        "x-content-type-options": "nosniff",
    }
    return Response(text, 200, headers, f"{CSV}; charset=utf-8; header=present")
