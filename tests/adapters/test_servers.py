"""Every host once under a real uvicorn: what only a server can show."""

import pytest

from tests.adapters.hosts.base import CHUNK, CUSTOMER_HEADER, Host
from tests.adapters.serving import client_of_server, serving
from tests.gates import CUSTOMER, Books, available

pytestmark = [
    pytest.mark.anyio,
    # Django leaves a request's body to the garbage collector when its client is gone.
    pytest.mark.filterwarnings("ignore:.*SpooledTemporaryFile"),
    pytest.mark.usefixtures("collected"),
]

SIGNED_IN = {CUSTOMER_HEADER: CUSTOMER}
HANDSHAKE = {
    "connection": "Upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}
"""The request that begins a websocket (RFC 6455, 1.3)."""


async def test_case_54_served_by_uvicorn_with_a_client_that_leaves(
    host: Host, migrated_sqlite_url: str
) -> None:
    async with serving(host.app) as served, client_of_server(served) as client:
        assert (await client.get("/pro")).status_code == 401
        assert (await client.get("/pro", headers=SIGNED_IN)).status_code == 402
        paid = await client.post("/image", headers=SIGNED_IN)
        assert paid.status_code == 200
        assert await available(host.gate) == 1

        await host.gate.grant(CUSTOMER, "credits", 1_000, reason="test")
        query = {"chunks": "900", "pause": "0.002"}
        received = b""
        async with client.stream("POST", "/chat", params=query, headers=SIGNED_IN) as answer:
            assert answer.status_code == 200
            async for part in answer.aiter_raw():
                received += part
                if len(received) >= 3 * len(CHUNK):
                    break
        await served.app_ended(requests=4)

        books = Books(migrated_sqlite_url)
        assert await books.held() == 0
        spent = await books.spent() - 4
        assert spent == host.seen.recorded // 1_000
        assert 3 <= spent < 900


async def test_a_websocket_handshake_is_answered_with_the_problem(host: Host) -> None:
    if not host.has_websockets:
        return
    async with serving(host.app) as served, client_of_server(served) as client:
        nobody = await client.get("/echo", headers=HANDSHAKE)
        assert (nobody.status_code, nobody.json()["code"]) == (401, "unauthenticated")
        denied = await client.get("/echo", headers={**HANDSHAKE, **SIGNED_IN})
        assert (denied.status_code, denied.json()["required_plan"]) == (402, "pro")
