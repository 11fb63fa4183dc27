"""The OpenAPI document as a page for people: one file, without scripts."""

import secrets
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

from starlette.responses import Response

from gatekeeper.asgi.page_headers import page_headers

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8884; --dim: #777; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
summary { cursor: pointer; padding: .4rem 0; }
summary b { display: inline-block; min-width: 4.5rem; font-family: ui-monospace, monospace; }
details { border-bottom: 1px solid var(--line); }
details > div { padding: 0 0 1rem 1rem; }
code { font-family: ui-monospace, monospace; font-size: .9em; }
dt { margin-top: .4rem; }
dd { margin-left: 1.5rem; color: var(--dim); }
"""


def page(document: Mapping[str, Any]) -> Response:
    """The document as HTML."""
    nonce = secrets.token_urlsafe(16)
    info = document["info"]
    whole = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(info['title'])}</title>"
        f'<style nonce="{nonce}">{_STYLE}</style>'
        f"<h1>{escape(info['title'])}</h1><p>{escape(info['description'])} "
        '<a href="openapi.json">OpenAPI 3.1</a></p>'
        f"{''.join(_sections(document))}"
    )
    headers = {**page_headers(stripe_origins=(), nonce=nonce), "cache-control": "no-store"}
    return Response(whole, media_type="text/html", headers=headers)


def _sections(document: Mapping[str, Any]) -> Iterator[str]:
    by_tag: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            shown = "".join(_operation(method, path, operation, document))
            by_tag.setdefault(operation["tags"][0], []).append(shown)
    for tag in document["tags"]:
        name = tag["name"]
        yield f"<h2>{escape(name[:1].upper() + name[1:])}</h2>{''.join(by_tag[name])}"


def _operation(
    method: str, path: str, operation: Mapping[str, Any], document: Mapping[str, Any]
) -> Iterator[str]:
    yield f"<details><summary><b>{method.upper()}</b> <code>{escape(path)}</code> "
    yield f"{escape(operation['summary'])}</summary><div>"
    parameters = operation.get("parameters", ())
    if parameters:
        named = ((f"{one['name']} ({one['in']})", one.get("description")) for one in parameters)
        yield f"<h4>Parameters</h4>{_list(named)}"
    body = operation.get("requestBody")
    if body is not None:
        yield f"<h4>Body</h4>{_fields(body, document)}"
    for status, answer in operation["responses"].items():
        yield f"<h4><code>{status}</code> {escape(answer['description'])}</h4>"
        if status.startswith("2"):
            yield _fields(answer, document)
    yield "</div></details>"


def _fields(holder: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    """What a body or an answer holds."""
    schema = holder.get("content", {}).get("application/json", {}).get("schema", {})
    name = schema.get("$ref", "").rpartition("/")[2]
    found = document["components"]["schemas"].get(name, schema)
    return _list((key, _kind(one)) for key, one in found.get("properties", {}).items())


def _kind(schema: Mapping[str, Any]) -> str:
    alternatives = schema.get("anyOf") or schema.get("oneOf") or [schema]
    names = [
        str(one.get("$ref", "").rpartition("/")[2] or one.get("type", "any"))
        for one in alternatives
    ]
    described = schema.get("description")
    return " or ".join(names) + (f": {described}" if described else "")


def _list(items: Iterator[tuple[str, str | None]]) -> str:
    rows = (
        f"<dt><code>{escape(name)}</code></dt><dd>{escape(words or '')}</dd>"
        for name, words in items
    )
    return f"<dl>{''.join(rows)}</dl>"
