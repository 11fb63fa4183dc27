"""Looking over everything, in memory."""

from collections.abc import Callable
from datetime import datetime

from gatekeeper.storage.survey import Backlog, Survey, Surveys


class MemorySurveys(Surveys):
    """See the port. It is handed what counts each queue."""

    def __init__(
        self,
        *,
        inbox: Callable[[], Backlog],
        outbox: Callable[[], Backlog],
        usage: Callable[[], Backlog],
        requests: Callable[[], Backlog],
        unsealed_since: Callable[[], datetime | None],
        holds_open: Callable[[], int],
    ) -> None:
        self._inbox = inbox
        self._outbox = outbox
        self._usage = usage
        self._requests = requests
        self._unsealed_since = unsealed_since
        self._holds_open = holds_open

    def take(self, now: datetime) -> Survey:
        return Survey(
            at=now,
            inbox=self._inbox(),
            outbox=self._outbox(),
            usage=self._usage(),
            requests=self._requests(),
            unsealed_since=self._unsealed_since(),
            holds_open=self._holds_open(),
        )

    def schema_fault(self) -> str | None:
        return None
