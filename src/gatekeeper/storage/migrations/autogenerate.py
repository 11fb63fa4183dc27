"""The filter for a host's Alembic."""

from typing import Any

from gatekeeper.storage.sql.tables import TABLE_PREFIX


def exclude_gatekeeper(
    object_: Any, name: str | None, type_: str, reflected: bool, compare_to: Any
) -> bool:
    """Alembic's `include_object`: False for whatever belongs to a table of Gatekeeper's.

        context.configure(..., include_object=exclude_gatekeeper)

    A host with a filter of its own calls this one in it
    (https://alembic.sqlalchemy.org/en/latest/api/runtime.html#alembic.runtime.environment.EnvironmentContext.configure.params.include_object).
    """
    owner = name if type_ == "table" else getattr(getattr(object_, "table", None), "name", None)
    return not (owner or "").startswith(TABLE_PREFIX)
