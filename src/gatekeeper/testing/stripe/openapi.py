"""Honesty: requests, answers and events against Stripe's published OpenAPI document.

The document is a dict that the caller has (`published.load_published_spec`). Each schema is
compiled once into plain functions, because a test suite validates tens of thousands of objects and
a general JSON Schema validator takes milliseconds for each; the tests hold both against each other.

Stricter than the document in one way: it never forbids fields that it does not name, and this does,
so that the simulator cannot invent any. Where it differs from the API version that the simulator
speaks, the difference stands in `DIFFERENCES` with its reason.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from gatekeeper.testing.stripe.core.forms import indexed
from gatekeeper.testing.stripe.core.store import Obj
from gatekeeper.testing.stripe.endpoint import Exchange

if TYPE_CHECKING:
    from gatekeeper.testing.stripe.simulator import Simulator

Schema: TypeAlias = Mapping[str, Any]
Check: TypeAlias = Callable[[Any, str], list[str]]
"""A compiled schema: the problems of a value that stands at a path."""

_INTEGER = re.compile(r"-?\d{1,18}")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


@dataclass(frozen=True, slots=True)
class Difference:
    """A place where the document (2026-05-27.dahlia) and 2026-10-28.endive disagree.

    `pattern` matches the beginning of a problem as this module words it.
    """

    pattern: str
    reason: str


DIFFERENCES = (
    Difference(
        r"POST /v1/webhook_endpoints\.api_version: '2026-\d\d-\d\d\.endive' is not one of",
        "the document lists the API versions up to its own",
    ),
    Difference(
        r"billing\.meter\.(created|updated|deactivated|reactivated) is not an event",
        "Stripe's page \"Types of events\" has these, the document's list has not",
    ),
)


class SpecViolation(AssertionError):
    """A request, answer or event that Stripe's document does not allow."""


class OpenApi:
    """The document, compiled as far as it has been used."""

    def __init__(
        self, spec: Mapping[str, Any], differences: tuple[Difference, ...] = DIFFERENCES
    ) -> None:
        self._paths: Mapping[str, Any] = spec["paths"]
        self._schemas: Mapping[str, Schema] = spec["components"]["schemas"]
        self._allowed = [re.compile(difference.pattern) for difference in differences]
        form = spec["paths"]["/v1/webhook_endpoints"]["post"]["requestBody"]["content"]
        asked = form["application/x-www-form-urlencoded"]["schema"]["properties"]
        self._event_types = frozenset(asked["enabled_events"]["items"]["enum"])
        self._named: dict[str, Check] = {}
        self._answers: dict[tuple[str, str], Check] = {}
        self._forms: dict[tuple[str, str], Check] = {}

    def watch(self, simulator: "Simulator") -> None:
        """Check everything that this simulator accepts, answers and sends."""

        def look(event: Obj) -> None:
            try:
                self.check_event(event)
            except SpecViolation as error:
                simulator.violations.append(str(error))

        simulator.on_exchange(self.check_exchange)
        simulator.on_event(look)

    def check_exchange(self, exchange: Exchange) -> None:
        """Raise SpecViolation unless the accepted request and its answer are Stripe's."""
        key = exchange.method, exchange.operation
        if key not in self._answers:
            self._compile_operation(*key)
        where = f"{exchange.method} {exchange.operation}"
        problems = self._forms[key](exchange.form, where)
        problems += self._answers[key](exchange.answer, f"{where} ->")
        self._judge(problems)

    def check_object(self, name: str, obj: Any) -> None:
        """Raise SpecViolation unless `obj` is an object of the schema `name`."""
        self._judge(self._reference(name)(obj, name))

    def check_event(self, event: Obj) -> None:
        """Raise SpecViolation unless the event, and the object in it, are Stripe's."""
        obj = event["data"]["object"]
        known = event["type"] in self._event_types
        problems = [] if known else [f"{event['type']} is not an event of Stripe's"]
        problems += self._reference("event")(event, event["type"])
        problems += self._reference(obj["object"])(obj, f"{event['type']}.data.object")
        self._judge(problems)

    def _judge(self, problems: list[str]) -> None:
        left = [p for p in problems if not any(rule.match(p) for rule in self._allowed)]
        if left:
            raise SpecViolation("; ".join(left[:10]))

    def _compile_operation(self, method: str, path: str) -> None:
        operation = self._paths.get(path, {}).get(method.lower())
        if operation is None:
            raise SpecViolation(f"{method} {path} is not an operation of Stripe's API")
        answer = operation["responses"]["200"]["content"]["application/json"]["schema"]
        self._answers[method, path] = self._compile(answer, form=False)
        if method == "POST":
            content = operation["requestBody"]["content"]["application/x-www-form-urlencoded"]
            self._forms[method, path] = self._compile(content["schema"], form=True)
        else:
            asked = [p for p in operation.get("parameters", ()) if p["in"] == "query"]
            body = operation.get("requestBody", {}).get("content", {})
            schema: dict[str, Any] = {
                "type": "object",
                "properties": {p["name"]: p["schema"] for p in asked},
                "additionalProperties": False,
            }
            for content in body.values():  # a DELETE's parameters, which clients put in the query
                schema["properties"] |= content["schema"].get("properties", {})
            self._forms[method, path] = self._compile(schema, form=True)

    def _reference(self, name: str) -> Check:
        if name not in self._named:
            self._named[name] = self._compile(self._schemas[name], form=False)
        return self._named[name]

    # The compiler. `form` schemas read text: "1" is an integer, "true" a boolean.

    def _compile(self, schema: Schema, *, form: bool) -> Check:
        if "$ref" in schema:
            return self._lazy(schema["$ref"].rpartition("/")[2])
        if "anyOf" in schema:
            inner = self._any_of(schema["anyOf"], form)
        else:
            inner = self._typed(schema, form)
        if not schema.get("nullable"):
            return inner
        return lambda value, path: [] if value is None else inner(value, path)

    def _lazy(self, name: str) -> Check:
        """A named schema, compiled at its first use: schemas refer to each other in circles."""

        def check(value: Any, path: str) -> list[str]:
            return self._reference(name)(value, path)

        return check

    def _typed(self, schema: Schema, form: bool) -> Check:
        kind = schema.get("type")
        if kind == "object":
            return self._object(schema, form)
        if kind == "array":
            return self._array(schema, form)
        if kind == "string":
            return _string(schema)
        if kind == "boolean":
            return _boolean(schema, form)
        if kind == "integer":
            return _matching("an integer", _INTEGER if form else int)
        if kind == "number":
            return _matching("a number", _NUMBER if form else (int, float))
        return lambda value, path: []

    def _object(self, schema: Schema, form: bool) -> Check:
        fields = {
            name: self._compile(child, form=form)
            for name, child in schema.get("properties", {}).items()
        }
        required = tuple(schema.get("required", ()))
        extra = schema.get("additionalProperties", not fields)
        others = self._compile(extra, form=form) if isinstance(extra, Mapping) else None

        def check(value: Any, path: str) -> list[str]:
            if not isinstance(value, Mapping):
                return [f"{path}: {value!r} is not an object"]
            problems = [f"{path}: {name} is missing" for name in required if name not in value]
            for name, child in value.items():
                known = fields.get(name, others)
                if known is not None:
                    problems += known(child, f"{path}.{name}")
                elif extra is not True:
                    problems.append(f"{path}: {name} is not a field")
            return problems

        return check

    def _array(self, schema: Schema, form: bool) -> Check:
        item = self._compile(schema["items"], form=form)

        def check(value: Any, path: str) -> list[str]:
            values = indexed(value) if form and isinstance(value, dict) else value
            if not isinstance(values, list):
                return [f"{path}: {value!r} is not an array"]
            found: list[str] = []
            for index, element in enumerate(values):
                found += item(element, f"{path}[{index}]")
            return found

        return check

    def _any_of(self, schemas: list[Schema], form: bool) -> Check:
        checks = [self._compile(schema, form=form) for schema in schemas]
        names = [self._object_name(schema) for schema in schemas]

        def check(value: Any, path: str) -> list[str]:
            fitting = checks
            if isinstance(value, Mapping) and "object" in value:
                # The object says what it is: hold it against that schema, for a clear answer.
                wanted = (value["object"], "deleted" in value)
                fitting = [c for c, name in zip(checks, names, strict=True) if name == wanted]
                fitting = fitting or checks
            best: list[str] | None = None
            for attempt in fitting:
                problems = attempt(value, path)
                if not problems:
                    return []
                if best is None or len(problems) < len(best):
                    best = problems
            return best or [f"{path}: {value!r} fits none of the alternatives"]

        return check

    def _object_name(self, schema: Schema) -> tuple[str, bool] | None:
        properties = self._schemas.get(schema.get("$ref", "").rpartition("/")[2], {}).get(
            "properties", {}
        )
        words = properties.get("object", {}).get("enum", ())
        return (words[0], "deleted" in properties) if words else None


def _string(schema: Schema) -> Check:
    words = frozenset(schema.get("enum", ()))
    longest = schema.get("maxLength")
    pattern = re.compile(schema["pattern"]) if "pattern" in schema else None

    def check(value: Any, path: str) -> list[str]:
        if not isinstance(value, str):
            return [f"{path}: {value!r} is not a string"]
        if words and value not in words:
            return [f"{path}: {value!r} is not one of {', '.join(sorted(words)[:12])}"]
        if longest is not None and len(value) > longest:
            return [f"{path}: longer than {longest} characters"]
        if pattern is not None and not pattern.search(value):
            return [f"{path}: {value!r} does not match {pattern.pattern}"]
        return []

    return check


def _boolean(schema: Schema, form: bool) -> Check:
    words = tuple(schema.get("enum", (True, False)))
    allowed: tuple[Any, ...] = tuple(str(word).lower() for word in words) if form else words

    def check(value: Any, path: str) -> list[str]:
        right = isinstance(value, str if form else bool) and value in allowed
        return [] if right else [f"{path}: {value!r} is not a boolean out of {allowed}"]

    return check


def _matching(what: str, form: re.Pattern[str] | type | tuple[type, ...]) -> Check:
    if isinstance(form, re.Pattern):

        def fits(value: Any) -> bool:
            return isinstance(value, str) and form.fullmatch(value) is not None

    else:

        def fits(value: Any) -> bool:
            return isinstance(value, form) and not isinstance(value, bool)

    return lambda value, path: [] if fits(value) else [f"{path}: {value!r} is not {what}"]
