"""A story: an app walked over HTTP without hands, where every step is checked and printed."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Self

import httpx

from examples.stage.running import Running
from gatekeeper import Gatekeeper
from gatekeeper.testing.stripe import Simulator

GOOD_CARD, DECLINED_CARD = "4242424242424242", "4000000000000002"
PATIENCE_SECONDS = 20.0

Glance = Callable[["Story"], Awaitable[dict[str, Any]]]


class StoryError(Exception):
    """A step did not go as it should."""


async def nothing(story: "Story") -> dict[str, Any]:
    """What an app sees that has not said what to look at."""
    return {}


class Story:
    """A walk through an app, printing what happens.

    Attributes:
        client: the browser of the first person. `person()` brings others.
        simulator, gate, url: of the app.
        glance: what the app's story looks at after each step: its changes are printed.
    """

    def __init__(
        self, client: httpx.AsyncClient, simulator: Simulator, gate: Gatekeeper, url: str
    ) -> None:
        self.client = client
        self.simulator = simulator
        self.gate = gate
        self.url = url
        self.glance: Glance = nothing
        self._browsers = contextlib.AsyncExitStack()
        self._step = 0
        self._heard = 0
        self._seen: dict[str, Any] = {}

    @classmethod
    @contextlib.asynccontextmanager
    async def of(cls, shown: Running) -> AsyncIterator[Self]:
        """A story of an app that runs."""
        assert shown.simulator is not None  # a story has one: `command.check` has made sure
        async with browser(shown.url) as client:
            story = cls(client, shown.simulator, shown.gate, shown.url)
            async with story._browsers:
                yield story

    # -- telling -----------------------------------------------------------------------------------

    def step(self, title: str) -> None:
        """Begin a step."""
        self._step += 1
        print(f"\n{self._step}. {title}")

    def expect(self, what: str, actual: object, wanted: object) -> None:
        """Go on only if `actual` is `wanted`.

        Raises:
            StoryError: it is not.
        """
        if actual != wanted:
            raise self.wrong(f"{what} is {actual!r}, not {wanted!r}")
        print(f"   ok       {what}: {actual!r}")

    def wrong(self, what: str) -> StoryError:
        """The error that something in this step is not as it should be."""
        return StoryError(f"step {self._step}: {what}")

    async def show(self) -> dict[str, Any]:
        """Print what Stripe has sent since the last step, and what has changed."""
        for attempt in self.simulator.delivery_log[self._heard :]:
            print(f"   stripe   {attempt.event_type} -> {attempt.status}")
        self._heard = len(self.simulator.delivery_log)
        now = await self.glance(self)
        for key, value in now.items():
            before = self._seen.get(key)
            if before != value:
                print(f"   changed  {key}: {before!r} -> {value!r}")
        self._seen = now
        return now

    async def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Deliver webhooks until `glance` sees what is wanted, and show it.

        Raises:
            StoryError: it does not.
        """
        now: dict[str, Any] = {}
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while True:
                    await self.simulator.deliver_pending()
                    now = await self.glance(self)
                    if wanted(now):
                        return await self.show()
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise self.wrong(f"after {PATIENCE_SECONDS} s it is still {now!r}") from None

    # -- asking ------------------------------------------------------------------------------------

    async def person(self, name: str) -> httpx.AsyncClient:
        """The browser of somebody else, who has signed up."""
        client = await self._browsers.enter_async_context(browser(self.url))
        await self.sign_up(name, client)
        return client

    async def sign_up(self, name: str, client: httpx.AsyncClient | None = None) -> None:
        """Sign up as `name`."""
        await self.ok("POST", "/sign-up", client=client, json={"name": name})

    async def ok(
        self, method: str, path: str, *, client: httpx.AsyncClient | None = None, **request: Any
    ) -> Any:
        """The JSON of an answer that must be good.

        Raises:
            StoryError: it is not.
        """
        answer = await (client or self.client).request(method, path, **request)
        if not answer.is_success:
            raise self.wrong(f"{method} {path} is {answer.status_code}: {answer.text[:500]}")
        return answer.json()

    async def me(self, client: httpx.AsyncClient | None = None) -> dict[str, Any]:
        """What somebody has: `GET /billing/me`."""
        body: dict[str, Any] = await self.ok("GET", "/billing/me", client=client)
        return body

    # -- Stripe's pages ----------------------------------------------------------------------------

    async def buy(
        self, price: str, *cards: str, client: httpx.AsyncClient | None = None, **more: Any
    ) -> str:
        """Check out as a browser would, trying one card after the other; returns the checkout.
        `more` goes into the body of `POST /billing/checkout`."""
        asked = {"price": price, **more}
        link = await self.ok("POST", "/billing/checkout", client=client, json=asked)
        await self.pay(link["url"], *cards, client=client)
        return str(link["checkout"])

    async def pay(self, url: str, *cards: str, client: httpx.AsyncClient | None = None) -> None:
        """Fill in a hosted page of Stripe's, trying one card after the other."""
        for card in cards:
            form = {
                "email": "ada@example.com",
                "name": "Ada",
                "country": "IE",
                "method": "card",
                "card_number": card,
                "card_expiry": "12 / 34",
                "card_cvc": "123",
            }
            paid = await (client or self.client).post(url, data=form)
            wanted = 303 if card == GOOD_CARD else 402
            self.expect(f"card ...{card[-4:]}", paid.status_code, wanted)

    async def portal(self, action: str, client: httpx.AsyncClient | None = None) -> None:
        """Do something with the first subscription on the customer portal.

        Raises:
            StoryError: there is none.
        """
        client = client or self.client
        url = (await self.ok("POST", "/billing/portal", client=client, json={}))["url"]
        page = await client.get(url)
        found = re.search(r'name="subscription" value="(sub_\w+)"', page.text)
        if found is None:
            raise self.wrong("the portal shows no subscription")
        done = await client.post(url, data={"action": action, "subscription": found.group(1)})
        self.expect(f"portal: {action}", done.status_code < 400, True)


def browser(url: str) -> httpx.AsyncClient:
    """A client with cookies of its own."""
    return httpx.AsyncClient(base_url=url, timeout=30)
