"""The samples are honest, and every one of them can be read."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from gatekeeper.projection import (
    project_checkout_session,
    project_customer,
    project_invoice,
    project_subscription,
)
from gatekeeper.testing.stripe.openapi import OpenApi
from gatekeeper.testing.stripe.published import load_published_spec
from tests.projection.reading_samples import names, sample

READERS: Mapping[str, Callable[[Mapping[str, object]], object]] = {
    "checkout.session": project_checkout_session,
    "customer": project_customer,
    "invoice": project_invoice,
    "subscription": project_subscription,
}


def test_the_samples_of_the_published_version_are_what_it_allows(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    cache: Path = tmp_path_factory.getbasetemp()
    spec = load_published_spec(cache)
    assert spec is not None
    published = OpenApi(spec)
    version = f".{spec['info']['version']}"
    checked = [name for name in names() if name.endswith(version)]
    assert len(checked) == 5
    for name in checked:
        published.check_object(name.removesuffix(version), sample(name))


@pytest.mark.parametrize("name", names())
def test_every_sample_can_be_read(name: str) -> None:
    value = sample(name)
    assert READERS[value["object"]](value)


@pytest.mark.parametrize("name", names())
def test_fields_that_nobody_knows_change_nothing(name: str) -> None:
    value = sample(name)
    read = READERS[value["object"]]
    assert read(_with_news(value)) == read(value)


def _with_news(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_news(inner) for key, inner in value.items()} | {"new_in_2031": {"a": []}}
    if isinstance(value, list):
        return [_with_news(inner) for inner in value]
    return value
