"""A database belongs to one Stripe account in one mode."""

import logging

import pytest

from gatekeeper.errors import ConfigurationError, DatabaseStampError, StripeUnavailableError
from gatekeeper.storage.port import Store
from gatekeeper.storage.records import Stamp
from gatekeeper.stripe.client import Account
from gatekeeper.stripe.stamp import DatabaseStamp, check_stamp
from tests.stripe.world import FakeStripe

pytestmark = pytest.mark.anyio


async def test_the_first_key_stamps_the_database_and_fits_for_ever(store: Store) -> None:
    stripe = FakeStripe()
    assert await check_stamp(store, stripe) == Stamp(account="acct_1", livemode=False)
    assert await check_stamp(store, stripe) == Stamp(account="acct_1", livemode=False)


async def test_a_key_of_another_account_refuses_to_start(store: Store) -> None:
    await check_stamp(store, FakeStripe())
    other = FakeStripe()
    other.account_id = "acct_2"
    with pytest.raises(DatabaseStampError, match=r"acct_1 \(test mode\).*acct_2 \(test mode\)"):
        await check_stamp(store, other)


async def test_a_key_of_the_other_mode_refuses_to_start(store: Store) -> None:
    await check_stamp(store, FakeStripe())
    live = FakeStripe()
    live.livemode = True
    with pytest.raises(DatabaseStampError, match="live mode"):
        await check_stamp(store, live)


async def test_without_stripe_an_app_starts_and_the_account_is_checked_later(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    stripe = FakeStripe()
    stripe.failure = StripeUnavailableError()
    stamp = DatabaseStamp(store, stripe)
    assert await stamp.check() is None
    assert "will be checked before" in caplog.text
    with pytest.raises(StripeUnavailableError):
        await stamp.confirm()
    stripe.failure = None
    assert (await stamp.confirm()).account == "acct_1"
    stripe.failure = StripeUnavailableError()
    assert (await stamp.confirm()).account == "acct_1"  # it was confirmed: nothing is asked again
    assert await check_stamp(store, stripe) is None  # another process, during the outage


async def test_without_stripe_the_mode_is_checked_all_the_same(store: Store) -> None:
    await check_stamp(store, FakeStripe())
    live = FakeStripe()
    live.livemode, live.failure = True, StripeUnavailableError()
    with pytest.raises(DatabaseStampError, match="an account not yet known"):
        await check_stamp(store, live)


async def test_a_key_that_stripe_does_not_accept_refuses_to_start(store: Store) -> None:
    stripe = FakeStripe()
    stripe.failure = ConfigurationError("Stripe does not accept the key")
    with pytest.raises(ConfigurationError):
        await check_stamp(store, stripe)


async def test_of_two_first_starts_at_once_the_first_stamp_counts(memory_store: Store) -> None:
    class Slow(FakeStripe):
        async def account(self) -> Account:
            await check_stamp(memory_store, other)
            return await super().account()

    other = FakeStripe()
    other.account_id = "acct_2"
    with pytest.raises(DatabaseStampError, match="belongs to the Stripe account acct_2"):
        await check_stamp(memory_store, Slow())
