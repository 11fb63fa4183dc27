"""Plans that were bought twice by mistake are had once."""

import pytest
from msgspec.structs import replace

from gatekeeper.entitlements import Item
from gatekeeper.entitlements.state import counted
from tests.entitlements.builders import item


def bought(name: str, status: str, duplicate_of: str | None = None) -> Item:
    """The item of a subscription, which may have been bought beside another."""
    return replace(
        item(), id=f"si_{name}", subscription_id=name, status=status, duplicate_of=duplicate_of
    )


@pytest.mark.parametrize(
    ("first", "second", "third", "counts"),
    [
        ("active", "active", "active", {"1"}),
        ("active", "canceled", "active", {"1"}),  # the third is no less bought beside the first
        ("canceled", "active", "active", {"1", "2"}),
        ("canceled", "canceled", "active", {"1", "2", "3"}),
    ],
)
def test_of_three_that_were_bought_at_once_one_counts_that_is_running(
    first: str, second: str, third: str, counts: set[str]
) -> None:
    items = (bought("1", first), bought("2", second, "1"), bought("3", third, "2"))
    assert {one.subscription_id for one in counted(items)} == counts


def test_a_duplicate_of_what_nobody_knows_counts() -> None:
    items = (bought("2", "active", "1"), bought("3", "active", "1"))
    assert counted(items) == items
