import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gatekeeper.catalog import (
    TermCap,
    TermCost,
    TermGrant,
    TermLimit,
    Terms,
    decode_terms,
    encode_terms,
)
from gatekeeper.errors import SchemaVersionError
from gatekeeper.formulas import Formula, RateTerm
from gatekeeper.types import MAX_AMOUNT, UNLIMITED, Amount

GOLDEN = (
    b'{"plan":"pro","plans":["free","pro"],"features":["downloads","export"],'
    b'"limits":{"projects":{"value":"unlimited","per_quantity":0,"combine":"sum"},'
    b'"seats":{"value":0,"per_quantity":1,"combine":"max"}},'
    b'"grants":[{"series":"every:credits","unit":"credits","plan":"pro","amount":1000,'
    b'"cadence":"month","rollover":500,"overage":"credits_overage","overage_limit":200,'
    b'"priority":-1,"per_quantity":true,"trial":50,"on_cancel":"keep","expires_after_days":null},'
    b'{"series":"once:free:welcome","unit":"exports","plan":"free","amount":"unlimited",'
    b'"cadence":"once","rollover":0,"overage":null,"overage_limit":null,"priority":0,'
    b'"per_quantity":false,"trial":null,"on_cancel":"expire","expires_after_days":30}],'
    b'"version":1}'
)
"""What is in databases, from the first release on: it lacks what came later, and is read all the
same. Never edit this one."""

PRESENT = (
    GOLDEN.replace(
        b'"expires_after_days":null}', b'"expires_after_days":null,"on_upgrade":"expire"}'
    ).replace(b'"expires_after_days":30}', b'"expires_after_days":30,"on_upgrade":"keep"}')[:-1]
    + b',"caps":[{"unit":"credits","every":"day","limit":500}],'
    b'"costs":{"chat:large":{"unit":"credits","formula":[1,[[3,1000,["input"]]]]}}}'
)
"""What this release writes. A field with a default may be added; if the meaning of one changes, the
form takes a new version."""

TERMS = Terms(
    plan="pro",
    plans=frozenset({"pro", "free"}),
    features=frozenset({"export", "downloads"}),
    limits={
        "seats": TermLimit(value=0, per_quantity=1),
        "projects": TermLimit(value=UNLIMITED, combine="sum"),
    },
    grants=(
        TermGrant(
            series="every:credits",
            unit="credits",
            plan="pro",
            amount=1_000,
            cadence="month",
            rollover=500,
            overage="credits_overage",
            overage_limit=200,
            priority=-1,
            per_quantity=True,
            trial=50,
            on_cancel="keep",
        ),
        TermGrant(
            series="once:free:welcome",
            unit="exports",
            plan="free",
            amount=UNLIMITED,
            cadence="once",
            expires_after_days=30,
        ),
    ),
)

PRESENT_TERMS = replace(
    TERMS,
    grants=(replace(TERMS.grants[0], on_upgrade="expire"), TERMS.grants[1]),
    caps=(TermCap(unit="credits", every="day", limit=500),),
    costs={
        "chat:large": TermCost(
            unit="credits", formula=Formula(1, (RateTerm(3, 1_000, ("input",)),))
        )
    },
)

keys = st.text(min_size=1, max_size=8)
amounts = st.integers(0, MAX_AMOUNT) | st.just(UNLIMITED)
limits = st.builds(
    TermLimit,
    value=amounts,
    per_quantity=st.integers(0, 100),
    combine=st.sampled_from(["max", "sum", "min"]),
)
grants = st.builds(
    TermGrant,
    series=keys,
    unit=keys,
    plan=keys,
    amount=amounts,
    cadence=st.sampled_from(["once", "hour", "day", "week", "month", "year"]),
    rollover=amounts,
    overage=st.none() | keys,
    overage_limit=st.none() | st.integers(1, MAX_AMOUNT),
    priority=st.integers(-1_000, 1_000),
    per_quantity=st.booleans(),
    trial=st.none() | amounts,
    on_cancel=st.sampled_from(["expire", "keep"]),
    expires_after_days=st.none() | st.integers(1, 999),
    on_upgrade=st.sampled_from(["expire", "keep"]),
)
rates = st.builds(
    RateTerm, st.integers(0, 99), st.integers(1, 99), st.lists(keys, min_size=1).map(tuple)
)
any_terms = st.builds(
    Terms,
    plan=keys,
    plans=st.frozensets(keys),
    features=st.frozensets(keys),
    limits=st.dictionaries(keys, limits),
    grants=st.lists(grants, max_size=4).map(tuple),
    caps=st.lists(
        st.builds(
            TermCap,
            unit=keys,
            every=st.sampled_from(["hour", "day", "week", "month", "year"]),
            limit=st.integers(1, MAX_AMOUNT),
        ),
        max_size=3,
    ).map(tuple),
    costs=st.dictionaries(
        keys,
        st.builds(
            TermCost,
            unit=keys,
            formula=st.builds(Formula, st.integers(0, 9), st.lists(rates, max_size=3).map(tuple)),
        ),
        max_size=3,
    ),
)


def test_the_stored_form_is_what_databases_hold() -> None:
    assert encode_terms(PRESENT_TERMS) == PRESENT
    assert decode_terms(PRESENT) == PRESENT_TERMS
    assert decode_terms(PRESENT.decode()) == PRESENT_TERMS


def test_what_an_earlier_release_stored_is_read_with_the_defaults_for_what_it_lacks() -> None:
    assert decode_terms(GOLDEN) == TERMS
    assert TERMS.grants[0].on_upgrade == "keep"
    assert (TERMS.caps, TERMS.costs) == ((), {})


@given(any_terms)
def test_terms_survive_being_stored(terms: Terms) -> None:
    stored = encode_terms(terms)
    assert decode_terms(stored) == terms
    assert encode_terms(decode_terms(stored)) == stored


def test_fields_of_a_later_release_are_ignored() -> None:
    later = GOLDEN[:-1] + b',"colour":{"deep":[1]}}'
    assert decode_terms(later.replace(b'"value":0', b'"value":0,"new":true')) == TERMS


def test_what_only_names_the_plan_has_the_defaults_for_the_rest() -> None:
    assert decode_terms(b'{"plan":"a","plans":["a"]}') == Terms(plan="a", plans=frozenset("a"))


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"\xff",
        b"[]",
        b"null",
        b'{"plan":"a"}',
        GOLDEN.replace(b'"month"', b'"fortnight"'),
        GOLDEN.replace(b'"amount":1000', b'"amount":1000.5'),
        GOLDEN.replace(b'"amount":"unlimited"', b'"amount":"infinite"'),
    ],
)
def test_what_are_no_terms_is_a_named_error(stored: bytes) -> None:
    with pytest.raises(SchemaVersionError, match="can't be read"):
        decode_terms(stored)


def test_a_version_that_this_release_does_not_know_is_a_named_error() -> None:
    with pytest.raises(SchemaVersionError, match="have version 2; this release reads 1"):
        decode_terms(GOLDEN.replace(b'"version":1', b'"version":2'))


@pytest.mark.parametrize(
    ("limit", "quantity", "value"),
    [
        (TermLimit(value=5), 10, 5),
        (TermLimit(value=0, per_quantity=1), 10, 10),
        (TermLimit(value=2, per_quantity=3), 4, 14),
        (TermLimit(value=UNLIMITED), 1, UNLIMITED),
        (TermLimit(value=0, per_quantity=2), 0, 0),
    ],
)
def test_a_limit_for_a_quantity(limit: TermLimit, quantity: int, value: Amount) -> None:
    assert limit.of(quantity) == value


@pytest.mark.parametrize(
    ("per_quantity", "trialing", "amount", "trial", "expected"),
    [
        (False, False, 10, None, 10),
        (True, False, 10, None, 30),
        (False, True, 10, None, 0),  # trials grant only what trial= says
        (True, True, 10, None, 0),
        (False, True, 10, 4, 4),
        (True, True, 10, 4, 12),
        (False, False, UNLIMITED, None, UNLIMITED),
        (False, True, UNLIMITED, 4, 4),
        (False, True, 10, UNLIMITED, UNLIMITED),
        (True, True, 10, UNLIMITED, UNLIMITED),
    ],
)
def test_what_a_window_grants_to_three(
    per_quantity: bool, trialing: bool, amount: Amount, trial: Amount | None, expected: Amount
) -> None:
    grant = TermGrant(
        series="every:credits",
        unit="credits",
        plan="pro",
        amount=amount,
        cadence="month",
        per_quantity=per_quantity,
        trial=trial,
    )
    assert grant.amount_for(3, trialing=trialing) == expected
