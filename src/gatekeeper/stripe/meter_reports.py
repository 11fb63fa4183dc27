"""What Stripe says afterwards of meter events that it took and could not use.

A meter event that is answered with a 200 is looked at later. What is wrong with it then comes as a
thin event: `v1.billing.meter.error_report_triggered` for a meter, `v1.billing.meter.no_meter_found`
for an event name that no meter has
(https://docs.stripe.com/billing/subscriptions/usage-based/recording-usage-api#handle-meter-event-errors).
It names some of the events by their identifiers, as samples, and counts the rest: what is named
becomes a dead letter and is told as `usage.rejected`; that there are more is logged, and
`gatekeeper usage compare` finds them. Thin events come to an event destination, which is made in
Stripe's Workbench (docs/guides/metering.md).
"""

import logging
from collections.abc import Iterator
from typing import Final

import msgspec

from gatekeeper.services.metering import reject
from gatekeeper.storage.port import Transaction
from gatekeeper.stripe.client import StripeGateway
from gatekeeper.stripe.webhooks import WebhookEvent, WebhookRegistry

logger = logging.getLogger("gatekeeper.metering")

TYPES: Final = ("v1.billing.meter.error_report_triggered", "v1.billing.meter.no_meter_found")
HANDLER: Final = "gatekeeper.meters"
"""The name of the handler among those of the host."""


class _Request(msgspec.Struct):
    identifier: str | None = None


class _Sample(msgspec.Struct):
    error_message: str = ""
    request: _Request | None = None


class _ErrorType(msgspec.Struct):
    code: str
    error_count: int = 0
    sample_errors: list[_Sample] = []


class _Reason(msgspec.Struct):
    error_count: int = 0
    error_types: list[_ErrorType] = []


class _Data(msgspec.Struct):
    reason: _Reason
    developer_message_summary: str = ""


class Rejected(msgspec.Struct, frozen=True):
    """One meter event that Stripe could not use."""

    identifier: str
    code: str
    message: str


class MeterReports:
    """The handler of Stripe's reports about meter events."""

    def __init__(self, gateway: StripeGateway) -> None:
        self._gateway = gateway

    def register(self, registry: WebhookRegistry) -> None:
        """Have it called for the reports."""
        registry.on(*TYPES, name=HANDLER)(self.receive)

    async def receive(self, event: WebhookEvent) -> None:
        """Make dead letters of what a report names.

        Raises:
            StripeUnavailableError, StripeRequestError: the report could not be fetched.
            msgspec.ValidationError: it is not what Stripe documents.
        """
        if event.account is not None:
            return  # another account's meters are none of ours
        data = event.body.get("data")
        if not isinstance(data, dict) or "reason" not in data:  # a notification has none
            whole = await self._gateway.get(
                f"/v2/core/events/{event.id}", what="fetching a report on a meter"
            )
            data = (whole or {}).get("data") or {"reason": {}}
        report = msgspec.convert(data, _Data)
        named = list(_named(report))
        if report.reason.error_count > len(named):
            logger.error(
                "Stripe could not use %d meter events, and names %d of them (%s): compare with its "
                "summaries",
                report.reason.error_count,
                len(named),
                report.developer_message_summary,
            )

        def write(tx: Transaction) -> None:
            for one in named:
                reject(tx, one.identifier, one.code, one.message)

        event.write(write)


def _named(report: _Data) -> Iterator[Rejected]:
    for kind in report.reason.error_types:
        for sample in kind.sample_errors:
            if sample.request is not None and sample.request.identifier:
                yield Rejected(sample.request.identifier, kind.code, sample.error_message)
