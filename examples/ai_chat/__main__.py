"""`python examples/ai_chat`: the demo in the browser, or with --check walked without hands."""

import argparse
import asyncio
import contextlib
import sys

from check import StoryError, check
from demo import running

from gatekeeper import GatekeeperError


async def serve(port: int) -> None:
    """Serve until Ctrl-C."""
    async with running(port=port) as demo:
        print(f"AI chat: {demo.url}")
        if demo.simulator is None:
            print("It runs on Stripe itself. Forward webhooks with the Stripe CLI:")
            print(f"  stripe listen --forward-to {demo.url}/billing/webhooks")
        else:
            print(f"Stripe simulator: {demo.simulator.url} (pay with 4242 4242 4242 4242)")
        print("Stop with Ctrl-C.")
        await asyncio.Event().wait()


def main() -> int:
    """Run the demo; returns the exit status."""
    parser = argparse.ArgumentParser(description="The AI chat demo of Gatekeeper.")
    parser.add_argument("--check", action="store_true", help="walk the story and end")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    try:
        if arguments.check:
            asyncio.run(check())
        else:
            with contextlib.suppress(KeyboardInterrupt):
                asyncio.run(serve(arguments.port))
    except (StoryError, TimeoutError, GatekeeperError) as error:
        print(f"\nNOT RIGHT: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
