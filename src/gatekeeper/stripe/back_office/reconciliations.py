"""Reconciliations that people start: they run in the background, and tell how far they have come.

What is known of a run stands in the database, so that any process can show it. One process is at
it, by a lease; a run whose process has died is "interrupted", and what it has repaired stays.
"""

import logging
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from typing import Any, Final, Literal

import msgspec

from gatekeeper.errors import ConflictError, GatekeeperError, NotFoundError
from gatekeeper.services.back_office import Change, Mandate, act, carry_out
from gatekeeper.storage.actions import ActionPlace, ActionQuery
from gatekeeper.storage.port import Store, Transaction
from gatekeeper.stripe.long_work import LEASE, held
from gatekeeper.stripe.reconciliation import Reconciler, Report, RunOptions
from gatekeeper.types import check_id, check_limit

logger: Final = logging.getLogger("gatekeeper.reconciliation")

KIND: Final = "reconciliation.start"
MAX_DRIFT: Final = 200
"""How many of the differences that a run has found are kept."""

Spawn = Callable[[Coroutine[Any, Any, None]], None]
"""Starts work that outlives the request that asked for it."""

RunStatus = Literal["waiting", "running", "finished", "failed", "interrupted"]


class _State(msgspec.Struct, frozen=True, kw_only=True):
    """What a run writes down. `looked` is how much of what it has looked at."""

    status: RunStatus = "waiting"
    options: RunOptions = RunOptions()
    looked: dict[str, int] = {}
    report: Report | None = None
    differences: int = 0
    error: str | None = None


class Reconciliation(msgspec.Struct, frozen=True, kw_only=True):
    """A run that somebody has started.

    Attributes:
        status: "interrupted": its process has died, or was stopped.
        looked: how much of what it has looked at so far.
        report: what it has found; at most 200 of the differences.
        differences: how many there were.
        error: why it has failed, by its code.
    """

    id: str
    actor: str
    reason: str
    started_at: datetime
    updated_at: datetime
    status: RunStatus
    options: RunOptions
    looked: dict[str, int]
    report: Report | None
    differences: int
    error: str | None
    place: ActionPlace


class Reconciliations:
    """The runs of one gate."""

    def __init__(self, store: Store, reconciler: Callable[[], Reconciler], spawn: Spawn) -> None:
        self._store = store
        self._reconciler = reconciler
        self._spawn = spawn

    async def start(self, mandate: Mandate, options: RunOptions) -> Reconciliation:
        """Start a run in the background.

        Raises:
            ConfigurationError: there is no key of Stripe's.
            IdempotencyConflictError.
        """
        reconciler = self._reconciler()
        to_do = act(mandate, KIND, options=options)
        run_id = f"rec_{to_do.name}"
        first = _State(options=options)
        begun: list[str] = []

        def begin(tx: Transaction) -> Change:
            now = tx.now()
            tx.progress.put(_name(run_id), _packed(first), now)
            begun[:] = [run_id]
            return Change(
                after={"run": run_id, "dry_run": options.dry_run}, subject=f"run/{run_id}"
            )

        await carry_out(self._store, to_do, begin)
        if begun:  # not one that was started before under the same key
            self._spawn(self._run(reconciler, run_id, first))
        return await self.get(run_id)

    async def get(self, run_id: str) -> Reconciliation:
        """A run as it is now.

        Raises:
            NotFoundError: there is none of this id.
        """
        check_id(run_id, "run")
        found = await self._store.read(lambda tx: _view(tx, run_id))
        if found is None:
            raise NotFoundError(f"There is no reconciliation {run_id!r}.")
        return found

    async def list(
        self, *, limit: int = 100, after: ActionPlace | None = None
    ) -> Sequence[Reconciliation]:
        """The runs that people have started, the newest first; `after` is the place of the last of
        the page before.

        Raises:
            InvalidInputError: `limit` is not from 1 to 1000.
        """
        check_limit(limit)

        def read(tx: Transaction) -> Sequence[Reconciliation]:
            started = tx.actions.listed(ActionQuery(kind=KIND), limit, after)
            views = (_view(tx, f"rec_{one.id.removeprefix('act_')}") for one in started)
            return [one for one in views if one is not None]

        return await self._store.read(read)

    async def _run(self, reconciler: Reconciler, run_id: str, state: _State) -> None:
        """Run, and write down what comes of it. Whatever goes wrong is written down too."""
        looked: dict[str, int] = {}
        try:
            async with held(self._store, _name(run_id)) as work:
                await work.save(status="running")

                def watch(what: str, count: int) -> None:
                    looked[what] = count
                    work.state = {**work.state, "looked": dict(looked)}  # with the next renewal

                ended: dict[str, Any]
                try:
                    async with work.kept():
                        report = await reconciler.run(state.options, watch)
                    cut = msgspec.structs.replace(report, drift=report.drift[:MAX_DRIFT])
                    differences = len(report.drift)
                    found = msgspec.to_builtins(cut)
                    ended = {"status": "finished", "report": found, "differences": differences}
                except GatekeeperError as error:
                    ended = {"status": "failed", "error": error.code}
                    logger.warning("a reconciliation that was started by hand failed: %s", error)
                except Exception:
                    await work.save(status="failed", error="internal_error", looked=looked)
                    raise
                await work.save(**ended, looked=looked)
        except ConflictError as error:  # the lease was lost: somebody else writes it down
            logger.warning("a reconciliation is not this process's any more: %s", error)


def _name(run_id: str) -> str:
    return f"reconciliation/{run_id}"


def _packed(state: _State) -> str:
    return msgspec.json.encode(state).decode()


def _view(tx: Transaction, run_id: str) -> Reconciliation | None:
    action = tx.actions.get(f"act_{run_id.removeprefix('rec_')}")
    milestone = tx.progress.get(_name(run_id))
    if action is None or milestone is None:
        return None
    state = msgspec.json.decode(milestone.state, type=_State)
    until, now = milestone.leased_until, tx.now()
    is_held = until is not None and until > now
    is_left = state.status == "running" or now - milestone.updated_at > LEASE
    is_over = state.status in ("finished", "failed")
    status = state.status if is_over or is_held or not is_left else "interrupted"
    return Reconciliation(
        id=run_id,
        actor=action.actor,
        reason=action.reason,
        started_at=action.at,
        updated_at=milestone.updated_at,
        status=status,
        options=state.options,
        looked=state.looked,
        report=state.report,
        differences=state.differences,
        error=state.error,
        place=action.place,
    )
