"""`gatekeeper ledger`: are the books right, and if not, make them so."""

import shlex
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Annotated, Protocol, TypeVar

import typer

from gatekeeper.cli.loading import GateArgument, on_gate
from gatekeeper.gate import Gatekeeper
from gatekeeper.ledger.books import Breach
from gatekeeper.services.audit import Mended
from gatekeeper.storage.postings import AccountKey

app = typer.Typer(help="The accounts and their entries.", no_args_is_help=True)

CustomerOption = Annotated[
    str | None,
    typer.Option("--customer", help="Only this customer's accounts.", show_default=False),
]
AfterOption = Annotated[
    str | None,
    typer.Option(
        "--after",
        help="Only customers after this one: go on where a run was interrupted.",
        show_default=False,
    ),
]


class Page(Protocol):
    """What a page of accounts came to."""

    @property
    def keys(self) -> tuple[AccountKey, ...]:
        """Which they were."""


P = TypeVar("P", bound=Page)


@app.command()
def verify(gate: GateArgument, customer: CustomerOption = None, after: AfterOption = None) -> None:
    """Hold every account against its entries, grants and holds; the app may run meanwhile.

    Ends with status 0 if the books are right, and with 1 if one contradicts itself or it could not
    be found out. What contradicts what stands on the standard output, a line each.
    """
    breaches = on_gate(gate, lambda host: _verify(host, customer, after))
    if breaches:
        raise typer.Exit(1)


@app.command()
def rebuild(
    gate: GateArgument,
    customer: CustomerOption = None,
    after: AfterOption = None,
    write: Annotated[
        bool, typer.Option("--write", help="Write what differs. Without it nothing is changed.")
    ] = False,
) -> None:
    """Derive accounts anew that are not what their entries say; the app may run meanwhile.

    Ends with status 0 if nothing had to be mended, or all of it was, and with 1 if something is
    left to do: without --write, whatever differs.
    """
    left = on_gate(gate, lambda host: _rebuild(host, customer, after, write))
    if left:
        raise typer.Exit(1)


async def _verify(host: Gatekeeper, customer: str | None, after: str | None) -> int:
    accounts = breaches = 0
    pages = host.auditor.verify(customer=customer, after=after)
    total = await host.auditor.count(customer)
    async for page in _shown(pages, total, "Verifying"):
        accounts += len(page.keys)
        breaches += len(page.breaches)
        for breach in page.breaches:
            _say(_line(breach))
    typer.echo(f"{accounts} account(s) verified, {breaches} breach(es) found.")
    return breaches


async def _rebuild(host: Gatekeeper, customer: str | None, after: str | None, write: bool) -> int:
    accounts = changed = left = 0
    pages = host.auditor.rebuild(customer=customer, after=after, write=write)
    total = await host.auditor.count(customer)
    async for page in _shown(pages, total, "Rebuilding"):
        accounts += len(page.keys)
        for mended in page.mended:
            changed += bool(mended.differences)
            left += bool(mended.obstacles or mended.left)
            for line in _lines(mended):
                _say(line)
    done = "rebuilt" if write else "would be rebuilt; --write does it"
    typer.echo(f"{accounts} account(s) looked at, {changed} {done}, {left} can't be mended here.")
    return left if write else left + changed


async def _shown(pages: AsyncIterator[P], total: int, label: str) -> AsyncIterator[P]:
    """The pages, with a progress bar beside them; on the standard error, and on terminals alone.

    What is interrupted tells where to go on: behind the last customer who is done altogether.
    """
    done: str | None = None
    last: str | None = None
    with ExitStack() as stack:
        bar = None
        if sys.stderr.isatty():
            bar = stack.enter_context(typer.progressbar(length=total, label=label, file=sys.stderr))
        try:
            async for page in pages:
                yield page
                for customer, _ in page.keys:
                    if customer != last:
                        done, last = last, customer
                if bar is not None:
                    bar.update(len(page.keys))
        except BaseException:
            if done is not None:
                typer.echo(f"Interrupted. Go on with: --after {shlex.quote(done)}", err=True)
            raise


def _say(line: str) -> None:
    """Write a line to the standard output, in the place of the progress bar if there is one."""
    if sys.stderr.isatty():
        typer.echo("\r\x1b[2K", nl=False, err=True)
    typer.echo(line)


def _line(breach: Breach) -> str:
    return (
        f"{breach.customer} {breach.unit}: {breach.what} should be {breach.expected} "
        f"and is {breach.found}"
    )


def _lines(mended: Mended) -> Iterator[str]:
    customer, unit = mended.key
    for change in mended.differences:
        yield f"{customer} {unit}: {change.what}: {change.found} -> {change.expected}"
    for obstacle in mended.obstacles:
        yield f"{customer} {unit}: not rebuilt: {obstacle}"
    for breach in mended.left:
        yield f"{_line(breach)}, which rebuilding does not mend"
