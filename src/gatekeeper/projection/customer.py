"""From Stripe's customer to what we keep of it."""

from collections.abc import Mapping

import msgspec

from gatekeeper.projection.reading import Node


class CustomerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A customer as Stripe has it now. Of a deleted one Stripe tells the id and no more."""

    id: str
    deleted: bool
    livemode: bool | None
    email: str | None
    name: str | None


def project_customer(value: Mapping[str, object]) -> CustomerFacts:
    """Read a customer of any API version.

    Raises:
        ProjectionError: naming the place that is not as it must be.
    """
    root = Node.root(value, "customer")
    return CustomerFacts(
        id=root.word("id"),
        deleted=root.flag("deleted"),
        livemode=root.maybe_flag("livemode"),
        email=root.maybe_label("email"),
        name=root.maybe_label("name"),
    )
