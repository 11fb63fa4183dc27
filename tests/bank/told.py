"""What the workers were told, against what is there.

Whatever was told as done is in the database; whatever was refused, or rolled back, is not; what was
asked for and never answered is there once or not at all.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from tests.bank.journal import Journals, Question
from tests.bank.packed import Found
from tests.bank.reading import Row

HOLDS: Final = "SELECT customer, unit, id, amount, captured, status, feature FROM gatekeeper_holds"
GRANTS: Final = (
    "SELECT customer, unit, id, amount, reason, source_key FROM gatekeeper_grants "
    "WHERE kind <> 'plan'"
)
REVOKED: Final = (
    "SELECT customer, unit, grant_id FROM gatekeeper_entries WHERE kind = 'grant_revoked'"
)
QUERIES: Final = (HOLDS, GRANTS, REVOKED)

OURS: Final = ("gift ", "source ", "once ", "beside ")
"""How the reasons of the workers' grants begin."""


@dataclass(slots=True)
class Asked:
    """All that was asked of one hold and was not refused."""

    reserves: list[Question] = field(default_factory=list)
    captures: list[Question] = field(default_factory=list)
    releases: list[Question] = field(default_factory=list)
    extends: list[Question] = field(default_factory=list)


def breaches(rows: list[list[Row]], told: Journals, asked: Journals) -> Iterator[Found]:
    """The breaches in the rows of `QUERIES`.

    Args:
        told: the journals as they were before the rows were read: what they tell is there.
        asked: the journals as they are after: what is there was asked for.
    """
    for fault in asked.faults:
        yield "no call hangs or fails without an answer", {"fault": fault}
    holds, grants, revoked = rows
    holds_by_id = {hold["id"]: hold for hold in holds}
    grants_by_id = {grant["id"]: grant for grant in grants}
    revoked_ids = {row["grant_id"] for row in revoked}
    for question in told.questions:
        if question.told is not None:
            yield from _is_there(question, holds_by_id, grants_by_id, revoked_ids)
    yield from _told_once(told.questions)
    known, wished = _by_hold(told.questions), _by_hold(asked.questions)
    for hold in holds:
        yield from _was_asked(hold, wished[hold["id"]])
        yield from _has_all_that_was_told(hold, known[hold["id"]])
    yield from _grants_were_asked(grants, asked.questions)


# -- what was told is there -----------------------------------------------------------------------


def _is_there(
    question: Question, holds: dict[str, Row], grants: dict[str, Row], revoked: set[str]
) -> Iterator[Found]:
    told = question.told
    assert told is not None
    if question.what == "grant":
        grant = grants.get(told["grant"])
        wanted = question.fields
        if grant is None or any(grant[name] != wanted[name] for name in ("customer", "unit")):
            yield "a grant that was told is there", _of(question, grant)
        elif grant["amount"] != wanted["amount"] or grant["reason"] != wanted["reason"]:
            yield "a grant that was told is there as it was asked for", _of(question, grant)
    elif question.what == "revoke":
        if told["lapsed"] and question.fields["grant"] not in revoked:
            yield "a revocation that was told is there", _of(question, None)
    else:
        hold = holds.get(told["hold"])
        if hold is None:
            yield "a hold that was told is there", _of(question, None)
        else:
            yield from _hold_is_as_told(question, hold)


def _hold_is_as_told(question: Question, hold: Row) -> Iterator[Found]:
    told = question.told
    assert told is not None
    ended = told["status"] != "open"
    if hold["amount"] < told["amount"] or hold["captured"] < told["captured"]:
        yield "a hold has no less than was told", _of(question, hold)
    elif ended and any(hold[name] != told[name] for name in ("status", "amount", "captured")):
        yield "a hold stays as it has ended", _of(question, hold)


def _told_once(questions: Iterable[Question]) -> Iterator[Found]:
    """The end of a hold is told to one resolver (and again to whoever repeats its key), and one
    idempotency key stands for one grant."""
    ends: dict[str, set[str]] = defaultdict(set)
    given: dict[str, set[str]] = defaultdict(set)
    for question in questions:
        told = question.told
        if told is None:
            continue
        if question.what in ("capture", "release") and told["status"] != "open":
            ends[told["hold"]].add(question.fields.get("key") or question.name)
        if question.what == "grant" and (key := question.fields.get("key")):
            given[key].add(told["grant"])
    for hold_id, resolvers in ends.items():
        if len(resolvers) > 1:
            yield "one resolver ends a hold", {"hold": hold_id, "told": sorted(resolvers)}
    for key, ids in given.items():
        if len(ids) > 1:
            yield "one key stands for one grant", {"key": key, "grants": sorted(ids)}


# -- what is there was asked for ------------------------------------------------------------------


def _by_hold(questions: Iterable[Question]) -> dict[str, Asked]:
    found: dict[str, Asked] = defaultdict(Asked)
    for question in questions:
        if not question.may_be_done or "hold" not in question.fields:
            continue
        of_hold = found[question.fields["hold"]]
        match question.what:
            case "reserve":
                of_hold.reserves.append(question)
            case "capture":
                of_hold.captures.append(question)
            case "release":
                of_hold.releases.append(question)
            case _:
                of_hold.extends.append(question)
    return found


def _was_asked(hold: Row, asked: Asked) -> Iterator[Found]:
    # The answer to a repeated key names the hold of the first: then its own was not made.
    made = [q for q in asked.reserves if q.told is None or q.told["hold"] == hold["id"]]
    if len(made) != 1:
        yield "a hold was asked for once", {**hold, "asked": [q.name for q in made]}
        return
    reserve = made[0]
    fields = reserve.fields
    if (hold["customer"], hold["unit"]) != (fields["customer"], fields["unit"]):
        yield "a hold is as it was asked for", _of(reserve, hold)
    captures = _once_per_key(asked.captures)
    beyond = sum(q.fields["amount"] for q in captures if q.fields.get("overrun") == "overage")
    added = sum(q.fields["add"] for q in _once_per_key(asked.extends))
    if hold["amount"] > fields["amount"] + added + beyond:
        yield "a hold claims no more than was asked for", _of(reserve, hold)
    if hold["captured"] > sum(_at_most(q, hold) for q in captures):
        yield "no more is captured than was asked for", _of(reserve, hold)
    if hold["status"] == "released" and not asked.releases:
        yield "what was released was asked to be", _of(reserve, hold)


def _has_all_that_was_told(hold: Row, told: Asked) -> Iterator[Found]:
    done = [q for q in told.reserves if q.told is not None and q.told["hold"] == hold["id"]]
    if not done:
        return
    added = sum(q.fields["add"] for q in _once_per_key(told.extends) if q.told is not None)
    if not done[0].fields["partial"] and hold["amount"] < done[0].fields["amount"] + added:
        yield "a hold claims all that was told", _of(done[0], hold)
    if hold["captured"] < sum(_at_least(q) for q in _once_per_key(told.captures)):
        yield "all that was told to be captured is there", _of(done[0], hold)


def _at_most(capture: Question, hold: Row) -> int:
    asked, held = capture.fields["amount"], int(hold["amount"])
    return min(asked, held) if isinstance(asked, int) else held


def _at_least(capture: Question) -> int:
    """What a capture has taken for certain: what was asked for, if that was told and nothing was
    cut off."""
    asked = capture.fields["amount"]
    if (
        not isinstance(asked, int)
        or capture.told is None
        or capture.fields.get("overrun") != "refuse"
    ):
        return 0
    return asked


def _once_per_key(questions: Iterable[Question]) -> list[Question]:
    """One question for each idempotency key, one that was answered if there is any."""
    found: dict[str, Question] = {}
    for question in questions:
        key = question.fields.get("key") or question.name
        if key not in found or question.told is not None:
            found[key] = question
    return list(found.values())


def _grants_were_asked(grants: Iterable[Row], questions: Iterable[Question]) -> Iterator[Found]:
    asked = Counter(
        (q.fields["customer"], q.fields["unit"], q.fields["amount"], q.fields["reason"])
        for q in questions
        if q.what == "grant" and q.may_be_done
    )
    for grant in grants:
        wanted = (grant["customer"], grant["unit"], grant["amount"], grant["reason"])
        if (grant["reason"] or "").startswith(OURS) and not asked[wanted]:
            yield "a grant was asked for", dict(grant)


def _of(question: Question, row: Row | None) -> Row:
    return {
        **({} if row is None else row),
        "asked": f"{question.name}: {question.fields}",
        "told": question.told,
    }
