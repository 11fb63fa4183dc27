import pytest

from gatekeeper.testing.stripe.core.errors import ApiError
from gatekeeper.testing.stripe.core.forms import MAX_FIELDS, Raw, indexed, parse


def test_brackets_nest() -> None:
    form = parse("items[0][price]=price_1&items[0][quantity]=2&metadata[a.b]=c%26d&x=")
    assert form == {
        "items": {"0": {"price": "price_1", "quantity": "2"}},
        "metadata": {"a.b": "c&d"},
        "x": "",
    }


def test_empty_brackets_append() -> None:
    assert parse("expand[]=a&expand[]=b") == {"expand": {"0": "a", "1": "b"}}


@pytest.mark.parametrize("encoded", ["a[b=1", "[a]=1", "a=1&a[b]=2", "a[b]=1&a[b][c]=2", "a[b]c=1"])
def test_bad_brackets_are_a_400(encoded: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse(encoded)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "encoded", ["&".join(f"a{n}=1" for n in range(MAX_FIELDS + 1)), "a" + "[b]" * 40 + "=1"]
)
def test_hostile_forms_are_a_400(encoded: str) -> None:
    with pytest.raises(ApiError):
        parse(encoded)


def test_indexed_reads_a_list_in_the_order_of_its_indices() -> None:
    many: dict[str, Raw] = {str(n): f"v{n}" for n in reversed(range(12))}
    assert indexed(many) == [f"v{n}" for n in range(12)]
    assert indexed({"0": "a", "2": "b"}) is None
    assert indexed("text") is None
