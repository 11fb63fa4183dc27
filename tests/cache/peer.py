"""A process of its own with a Redis cache in it: commands in, answers out, one JSON line each.

`python -m tests.cache.peer URL NAMESPACE`
"""

import asyncio
import json
import sys

from gatekeeper.cache import Freshness
from gatekeeper.cache.redis import RedisCache, RedisOptions
from gatekeeper.testing.conformance.cache import Sample, SampleCodec, Source


async def obey(cache: RedisCache[Sample], command: dict[str, str | int]) -> object:
    customer, version = str(command.get("customer")), int(command.get("version", 0))
    match command["do"]:
        case "load":
            source = Source(version)
            value = await cache.get_or_load(customer, source.load)
            return [value.version, source.reads]
        case "peek":
            held = cache.peek(customer)
            return held and held.version
        case "invalidate":
            await cache.invalidate(customer, version)
        case "wait":
            await cache.wait_for(Freshness.HEARD)
    return None


async def main(url: str, namespace: str) -> None:
    async with RedisCache(url, SampleCodec(), options=RedisOptions(namespace=namespace)) as cache:
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(await obey(cache, json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
