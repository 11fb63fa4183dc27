"""The command of an example: in the browser, or with --check walked without hands."""

import argparse
import asyncio
import contextlib
import os
import sys

import httpx

from examples.stage.app import App
from examples.stage.running import WEBHOOK_PATH, running
from examples.stage.story import Story, StoryError
from gatekeeper import GatekeeperError


def main(example: App) -> int:
    """Run an example; returns the exit status."""
    parser = argparse.ArgumentParser(description=f"{example.title}, an example of Gatekeeper.")
    parser.add_argument("--check", action="store_true", help="walk the story and end")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one")
    arguments = parser.parse_args()
    try:
        if arguments.check:
            asyncio.run(check(example))
        else:
            with contextlib.suppress(KeyboardInterrupt):
                asyncio.run(serve(example, arguments.port))
    except (StoryError, TimeoutError, GatekeeperError, httpx.HTTPError) as error:
        print(f"\nNOT RIGHT: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


async def serve(example: App, port: int) -> None:
    """Serve until Ctrl-C."""
    async with running(example, port=port) as shown:
        print(f"{example.title}: {shown.url}")
        if shown.simulator is None:
            print("It runs on Stripe itself. Forward webhooks with the Stripe CLI:")
            print(f"  stripe listen --forward-to {shown.url}{WEBHOOK_PATH}")
        else:
            print(f"Stripe simulator: {shown.simulator.url} (pay with 4242 4242 4242 4242)")
        print("Stop with Ctrl-C.")
        await asyncio.Event().wait()


async def check(example: App) -> None:
    """Walk the whole story.

    Raises:
        StoryError: a step is wrong.
    """
    if os.environ.get("STRIPE_SECRET_KEY"):
        raise StoryError("--check walks the simulator's pages: unset STRIPE_SECRET_KEY")
    async with running(example, deliver=False) as shown, Story.of(shown) as story:
        await example.check(story)
    print("\nAll steps are right.")
