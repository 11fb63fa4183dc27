"""The table of all log events: under which name each is logged, and what its values are called.

A message is written where it is logged, as anywhere; here it gets its name and its fields, which
stay when the words change. `logs` puts them on the record, as `extra=` would. A test holds the
table and the calls together, so that no message goes without a name.
"""

from typing import Final, NamedTuple


class LogEvent(NamedTuple):
    """One event: the template of its message, and the names of the template's values, in order."""

    name: str
    template: str
    fields: tuple[str, ...] = ()


def _event(name: str, template: str, *fields: str) -> LogEvent:
    return LogEvent(name, template, fields)


EVENTS: Final = (
    # -- webhooks
    _event(
        "intake.other_mode",
        "event %s (%s) is of the other mode (livemode=%s): stored without effect; check the "
        "endpoint's signing secret",
        "stripe_event",
        "event_type",
        "livemode",
    ),
    _event(
        "intake.test_of_account",
        "event %s (%s) is a test of connected account %s: stored without effect",
        "stripe_event",
        "event_type",
        "account",
    ),
    _event("intake.quick_way_failed", "events could not be stored in the quick way"),
    _event("intake.timed_out", "%d event(s) could not be stored in time", "count"),
    _event("intake.not_woken", "what dispatches elsewhere could not be woken; the events wait"),
    _event("dispatch.interrupted", "dispatch was interrupted; it goes on"),
    _event(
        "dispatch.interrupted_inline",
        "dispatch was interrupted; the event waits for the next one",
    ),
    _event(
        "dispatch.retry",
        "event %s (%s) failed, attempt %d, again in %.0f s: %s",
        "stripe_event",
        "event_type",
        "attempts",
        "delay_seconds",
        "reason",
    ),
    _event(
        "dispatch.dead_letter",
        "event %s (%s) is a dead letter after %d attempts: %s",
        "stripe_event",
        "event_type",
        "attempts",
        "reason",
    ),
    _event(
        "dispatch.lease_lost",
        "%s: its events are left to whoever has it now",
        "reason",
    ),
    _event(
        "dispatch.left_to_lease",
        "events of %s are tried again when their lease is over",
        "object_key",
    ),
    _event("dispatch.put_back", "events of %s will be put back, and tried again", "object_key"),
    _event(
        "projection.stranger",
        "%s belongs to Stripe customer %s, who is not one of ours: no effect",
        "object_id",
        "stripe_customer",
    ),
    _event(
        "projection.no_parent",
        "event %s does not say what %s is part of: no effect",
        "stripe_event",
        "object_id",
    ),
    _event(
        "subscription.gone",
        "subscription %s is gone from Stripe: it has ended",
        "subscription",
    ),
    _event(
        "subscription.status_unknown",
        "subscription %s has the status %s, which this release does not know: it gives no access",
        "subscription",
        "status",
    ),
    _event(
        "subscription.not_moved",
        "%s was not moved: %s",
        "subscription",
        "reason",
    ),
    # -- what is sold
    _event(
        "price.not_in_catalog",
        "price %s (lookup key %s) is not in the catalogue: it gives no access. Declare it, by "
        "lookup key or in Price(ids=...), and replay the event",
        "price",
        "lookup_key",
    ),
    _event(
        "price.other_currency",
        "price %s is in %s and the catalogue's %s in %s: it gives no access",
        "price",
        "currency",
        "lookup_key",
        "catalog_currency",
    ),
    _event(
        "price.plan_unknown",
        "price %s was recorded for plan %s, which the catalogue does not have: it gives no access "
        "to a new subscriber",
        "price",
        "plan",
    ),
    _event(
        "purchase.gives_nothing",
        "purchase %s of %s was paid in session %s and gives nothing: %s",
        "purchase",
        "customer",
        "checkout_session",
        "reason",
    ),
    _event(
        "purchase.intent_gives_nothing",
        "purchase %s of %s was paid by intent %s and gives nothing: %s",
        "purchase",
        "customer",
        "payment_intent",
        "reason",
    ),
    _event(
        "purchase.other_amount",
        "purchase %s was paid at %d, the price of %s when it began; it is %d now",
        "purchase",
        "paid_minor",
        "lookup_key",
        "amount_minor",
    ),
    _event(
        "purchase.duplicate",
        "purchase %s was paid beside %s of the same plan",
        "purchase",
        "other_purchase",
    ),
    _event("clawback.taken", "took back %d %s of payment %s", "amount", "unit", "payment"),
    _event(
        "clawback.customer_gone",
        "payment %s is right again, but whose it was is gone",
        "payment",
    ),
    _event("credits.frozen", "the credits of %s are frozen: %s (%s)", "customer", "reason", "key"),
    _event("credits.unfrozen", "the credits of %s are free again, by %s", "customer", "actor"),
    # -- holds and the ledger
    _event("hold.expired", "%d holds expired; their credits returned", "count"),
    _event("hold.expiry_failed", "holds of %s in %s were not expired", "customer", "unit"),
    _event("grant.notices_failed", "notices of %s in %s were not sent", "customer", "unit"),
    _event("hold.not_settled", "hold %s of %s was not settled", "hold", "customer"),
    _event("hold.not_settled_yet", "hold %s is not settled yet: %s", "hold", "reason"),
    _event("hold.unsettleable", "hold %s can't be settled", "hold"),
    _event("hold.not_renewed_yet", "hold %s was not renewed yet: %s", "hold", "reason"),
    _event("hold.renewal_failed", "hold %s was not renewed yet", "hold"),
    _event("hold.unrenewable", "hold %s can't be renewed: %s", "hold", "reason"),
    _event(
        "hold.not_settled_after_failure",
        "hold %s was not settled after its block failed",
        "hold",
    ),
    _event(
        "hold.overrun",
        "hold %s of %s: %d %s were used beyond the %d held and are not charged",
        "hold",
        "customer",
        "overrun",
        "unit",
        "amount",
    ),
    _event("hold.left_to_expire", "the holds of %s are left to expire", "route"),
    _event(
        "live.customer_failed",
        "customer %s could not be looked at; once they change, again",
        "customer",
    ),
    _event("live.failed", "customers could not be looked at; it is tried again"),
    _event("request.not_charged", "%s was refused: it could not be charged", "route"),
    _event("ledger.batch_failed", "a batch failed"),
    _event("ledger.not_undone", "what nobody waited for could not be undone: %s", "reason"),
    _event("ledger.parked_failed", "commands of locked accounts failed"),
    _event("ledger.quick_read_failed", "a quick read failed"),
    _event("ledger.quick_write_refused", "a quick write was refused"),
    _event("ledger.quick_way_failed", "a command was not decided in the quick way"),
    _event("upkeep.part_interrupted", "a part of the work was interrupted; the next run goes on"),
    _event("upkeep.interrupted", "upkeep was interrupted; it goes on"),
    _event("customer.erased", "a customer was erased; their history goes on as %s", "pseudonym"),
    _event(
        "feature.outage_policy",
        "feature %s: store unavailable, policy %s",
        "feature",
        "policy",
    ),
    # -- metered usage
    _event("usage.seal_interrupted", "sealing usage was interrupted; it goes on"),
    _event("usage.send_interrupted", "sending usage was interrupted; it goes on"),
    _event("usage.already_sent", "Stripe has the meter event %s already", "identifier"),
    _event(
        "usage.unbillable",
        "%d of meter %s of customer %s can't be billed (%s): %s",
        "quantity",
        "meter",
        "customer",
        "identifier",
        "reason",
    ),
    _event(
        "usage.refused_later",
        "Stripe could not use the meter event %s (%s)",
        "identifier",
        "reason",
    ),
    _event(
        "usage.errors_reported",
        "Stripe could not use %d meter events, and names %d of them (%s): compare with its "
        "summaries",
        "count",
        "named",
        "reason",
    ),
    # -- the outbox
    _event("outbox.interrupted", "delivery was interrupted; it goes on"),
    _event("outbox.caches_interrupted", "telling the caches was interrupted; it goes on"),
    _event(
        "outbox.retry",
        "message %s (%s) failed, attempt %d, again in %.0f s: %s",
        "message_id",
        "topic",
        "attempts",
        "delay_seconds",
        "reason",
    ),
    _event(
        "outbox.dead_letter",
        "message %s (%s) is a dead letter after %d attempts: %s",
        "message_id",
        "topic",
        "attempts",
        "reason",
    ),
    _event("outbox.lease_lost", "%s: it is left to whoever has it now", "reason"),
    _event("outbox.put_back", "message %s will be put back, and tried again", "message_id"),
    _event("outbox.settled_before", "message %s had been settled", "message_id"),
    _event(
        "outbox.left_to_lease", "message %s is tried again when its lease is over", "message_id"
    ),
    _event("outbox.discarded", "%d message(s) of the outbox were discarded", "count"),
    _event("notice.no_address", "a customer without an address is not told of %s", "kind"),
    _event("notice.handed_over", "a notice of %s was handed to the mail server", "kind"),
    _event("analytics.not_written", "refusals were not written; they are tried again"),
    # -- Stripe
    _event("stripe.outage", "Stripe does not answer: requests to it fail at once until it does"),
    _event("stripe.recovered", "Stripe answers again after %.0f s", "outage_seconds"),
    _event(
        "stripe.account_unchecked",
        "Stripe can't be reached: which account the key belongs to will be checked before anything "
        "is written for it",
    ),
    _event(
        "stripe.request_resumed",
        "request %s to Stripe (%s, of customer %s) was %s",
        "request_id",
        "operation",
        "customer",
        "what",
    ),
    _event(
        "stripe.resume_interrupted", "requests to Stripe could not be resumed; it is tried again"
    ),
    _event("stripe.resume_failed", "a request to Stripe could not be resumed"),
    _event(
        "reconciliation.ended",
        "reconciled%s: %d of %d events had not come, %d of %d objects' fields differed, %d objects "
        "could not be repaired",
        "dry_run",
        "missed",
        "events",
        "drift",
        "objects",
        "unrepaired",
    ),
    _event("reconciliation.drift", "differs: %s", "difference"),
    _event("reconciliation.not_run", "not reconciled: %s", "reason"),
    _event(
        "reconciliation.by_hand_failed",
        "a reconciliation that was started by hand failed: %s",
        "reason",
    ),
    _event(
        "reconciliation.by_hand_lost",
        "a reconciliation is not this process's any more: %s",
        "reason",
    ),
    _event("refund.unanswered", "refund %s is sent again in the background", "refund"),
    _event("reconciliation.interrupted", "reconciliation was interrupted; it goes on"),
    _event("reconciliation.stopped", "the sweep was stopped: %s", "reason"),
    _event("reconciliation.unrepaired", "%s %s could not be repaired", "kind", "object_id"),
    _event("reconciliation.incomparable", "%s can't be compared: %s", "object_id", "reason"),
    _event(
        "reconciliation.too_late",
        "events of before %s are asked for, but Stripe lists the last %d days only",
        "since",
        "kept_days",
    ),
    _event("backfill.not_projected", "%s of %s could not be projected", "object_id", "customer"),
    _event("payback.interrupted", "taking paybacks was interrupted; it goes on"),
    _event("payback.unanswered", "payback %s had no answer: %s", "payback", "reason"),
    _event(
        "payback.refused",
        "payback %s by %s was refused: %s",
        "payback",
        "destination",
        "reason",
    ),
    _event(
        "sale.no_seller",
        "the seller of order %s is gone: their share is not sent",
        "order",
    ),
    _event("topup.interrupted", "paying top-ups was interrupted; it goes on"),
    _event("topup.failed", "a top-up could not be looked at; it is tried again"),
    _event("topup.not_canceled", "payment %s was not canceled: %s", "payment_intent", "reason"),
    _event(
        "topup.waits",
        "the top-up of %s for %s has to wait: %s",
        "unit",
        "customer",
        "reason",
    ),
    _event(
        "topup.blocked",
        "the top-up of %s for %s is blocked: %s",
        "unit",
        "customer",
        "reason",
    ),
    _event("transfer.interrupted", "sending transfers was interrupted; it goes on"),
    _event("transfer.unanswered", "transfer %s had no answer: %s", "transfer", "reason"),
    _event(
        "transfer.refused",
        "transfer %s to %s was refused: %s",
        "transfer",
        "destination",
        "reason",
    ),
    _event(
        "order.impossible_move",
        "order %s would go from %s to %s",
        "order",
        "before",
        "after",
    ),
    _event(
        "order.mispaid",
        "payment %s has come in and does not pay order %s",
        "payment",
        "order",
    ),
    _event("order.payment_elsewhere", "payment %s is not order %s's", "payment", "order"),
    _event(
        "reconciliation.account_unreadable",
        "the events of account %s are not to be had: %s",
        "account",
        "reason",
    ),
    _event(
        "reconciliation.not_listable",
        "no %s was compared: the key may not list them",
        "kind",
    ),
    _event(
        "reconciliation.not_compared",
        "no %s%s was compared: %s",
        "kind",
        "account",
        "reason",
    ),
    _event("reconciliation.event_not_stored", "event %s can't be stored", "stripe_event"),
    _event(
        "work.lease_not_renewed",
        "the lease of %s could not be renewed; it is tried again",
        "work",
    ),
    _event(
        "work.lease_not_returned",
        "the lease of %s could not be given back: it runs out",
        "work",
    ),
    _event(
        "connect.account_left",
        "account %s has left: %s is not copied any more",
        "account",
        "object_id",
    ),
    # -- the cache
    _event(
        "cache.outage",
        "Redis does not answer (%s): values are cached in this process alone, and are up to their "
        "time to live old, until it does",
        "reason",
    ),
    _event("cache.recovered", "Redis answers again after %.1f s", "outage_seconds"),
    _event("cache.deaf", "Invalidations are no longer heard through Redis: %s", "reason"),
    _event("cache.hears", "Invalidations are heard through Redis"),
    _event(
        "rates.uncounted",
        "requests to the billing API are not counted: no answer of Redis",
    ),
    _event("cache.codec_failed", "A cached value can't be encoded or decoded: %s", "reason"),
    # -- the process and its database
    _event("process.work_failed", "work owned by the gate failed"),
    _event("process.loop_failed", "%s failed; it is started again", "loop"),
    _event("process.loop_failed_at_end", "%s failed while it was stopped", "loop"),
    _event("process.lifespan_failed", "the lifespan failed"),
    _event("store.callback_failed", "A callback after a commit failed."),
    _event("store.abandoned_failed", "A transaction failed after its caller was cancelled."),
    _event("store.not_ended", "A transaction did not end in %.0f s and is left.", "waited_seconds"),
    _event("health.database_failed", "the database could not be looked at"),
    _event("telemetry.survey_failed", "the queues could not be looked over; it is tried again"),
)
"""All of them, in the order of the page."""

LOGGERS: Final = (
    "gatekeeper",
    "gatekeeper.analytics",
    "gatekeeper.cache",
    "gatekeeper.metering",
    "gatekeeper.notices",
    "gatekeeper.outbox",
    "gatekeeper.reconciliation",
    "gatekeeper.storage",
    "gatekeeper.stripe",
    "gatekeeper.webhooks",
)
"""The names of all loggers."""
