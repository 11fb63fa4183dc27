"""The URL configuration of the Django host, filled anew by each build."""

from typing import Any

urlpatterns: list[Any] = []
