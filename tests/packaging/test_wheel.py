"""The wheel holds what it should, and works where only its declared dependencies are."""

import email
import tarfile
import tomllib
import zipfile
from email.message import Message
from pathlib import Path

import pytest

from tests.packaging.conftest import ROOT, Installed, build

ADAPTERS = sorted(path.name for path in (ROOT / "adapters").iterdir() if path.is_dir())
# Starlette is a dependency of the library itself; the other frameworks come with an extra.
WITHOUT_EXTRA = {"gatekeeper_starlette"}
PACKAGES = ["gatekeeper", *ADAPTERS]

IMPORT_ALL = """
import importlib, pkgutil, gatekeeper
SKIPPED = ("gatekeeper.testing", "gatekeeper.storage.migrations", "gatekeeper.telemetry.otel")
for module in pkgutil.walk_packages(gatekeeper.__path__, "gatekeeper."):
    if not module.name.startswith(SKIPPED) and not module.name.endswith("__main__"):
        importlib.import_module(module.name)
        print(module.name)
"""


@pytest.fixture(scope="session")
def names(wheel: Path) -> set[str]:
    """The files of the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="session")
def metadata(wheel: Path) -> Message:
    """The wheel's METADATA."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
        return email.message_from_bytes(archive.read(name))


class TestContents:
    def test_every_file_of_the_sources_is_in_it_and_nothing_else(
        self, source: Path, names: set[str]
    ) -> None:
        expected = {
            path.relative_to(source / root).as_posix()
            for root in ("src", "adapters")
            for path in (source / root).rglob("*")
            if path.is_file()
        }
        assert {name for name in names if ".dist-info/" not in name} == expected

    @pytest.mark.parametrize("package", PACKAGES)
    def test_its_packages_are_typed(self, names: set[str], package: str) -> None:
        assert f"{package}/py.typed" in names

    def test_the_migrations_are_in_it(self, names: set[str]) -> None:
        folder = "gatekeeper/storage/migrations/"
        assert f"{folder}env.py" in names
        assert any(n.startswith(f"{folder}versions/") and n.endswith(".py") for n in names)

    def test_the_licence_is_in_it(self, wheel: Path, names: set[str]) -> None:
        (name,) = [n for n in names if n.endswith(".dist-info/licenses/LICENSE")]
        with zipfile.ZipFile(wheel) as archive:
            assert archive.read(name) == (ROOT / "LICENSE").read_bytes()

    def test_its_metadata_says_what_it_needs(self, metadata: Message) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        assert metadata["Requires-Python"] == ">=3.11"
        assert metadata["License-Expression"] == "Apache-2.0"
        assert set(metadata.get_all("Provides-Extra", [])) == set(project["optional-dependencies"])
        bare = [r for r in metadata.get_all("Requires-Dist", []) if not any(c in r for c in "<>=~")]
        assert not bare, "every requirement has a lower bound"

    def test_an_sdist_builds_the_same_wheel(
        self, source: Path, names: set[str], tmp_path: Path
    ) -> None:
        sdist = build("sdist", source, tmp_path / "sdist")
        with tarfile.open(sdist) as archive:
            archive.extractall(tmp_path / "unpacked", filter="data")
        (unpacked,) = (tmp_path / "unpacked").iterdir()
        again = build("wheel", unpacked, tmp_path / "wheel")
        with zipfile.ZipFile(again) as archive:
            assert set(archive.namelist()) == names


class TestInstalled:
    def test_it_is_the_wheel_that_is_imported(self, installed: Installed) -> None:
        place = installed.python("import gatekeeper; print(gatekeeper.__file__)")
        assert Path(place).is_relative_to(installed.folder)

    def test_its_version_is_the_distributions(self, installed: Installed) -> None:
        code = (
            "from importlib.metadata import version; from gatekeeper._version import __version__;"
            "print(version('gatekeeper-entitlements') == __version__)"
        )
        assert installed.python(code) == "True"

    def test_every_module_but_the_testing_ones_needs_no_extra(self, installed: Installed) -> None:
        assert "gatekeeper.ledger" in installed.python(IMPORT_ALL).splitlines()

    def test_without_opentelemetry_nothing_is_told(self, installed: Installed) -> None:
        code = (
            "from gatekeeper.telemetry import OFF, telemetry_of_process; "
            "print(telemetry_of_process() is OFF)"
        )
        assert installed.python(code) == "True"
        code = (
            "try:\n    import gatekeeper.telemetry.otel\nexcept ImportError as error:\n"
            "    print(error)"
        )
        assert "gatekeeper-entitlements[otel]" in installed.python(code)

    def test_importing_it_imports_nothing_heavy_that_few_need(self, installed: Installed) -> None:
        code = (
            "import sys, gatekeeper; "
            "print(sorted({'alembic', 'stripe', 'fastapi', 'django', 'typer'} & set(sys.modules)))"
        )
        assert installed.python(code) == "[]"

    @pytest.mark.parametrize("adapter", sorted(WITHOUT_EXTRA))
    def test_an_adapter_without_an_extra_is_ready(self, installed: Installed, adapter: str) -> None:
        assert installed.python(f"import {adapter}; print(callable({adapter}.install))") == "True"

    @pytest.mark.parametrize("adapter", sorted(set(ADAPTERS) - WITHOUT_EXTRA))
    def test_an_adapter_without_its_framework_names_the_extra(
        self, installed: Installed, adapter: str
    ) -> None:
        code = (
            f"try:\n    import {adapter}\nexcept ImportError as error:\n    print(error)\n"
            "else:\n    print('imported')"
        )
        extra = adapter.removeprefix("gatekeeper_")
        assert f"gatekeeper-entitlements[{extra}]" in installed.python(code)

    def test_the_command_is_installed(self, installed: Installed) -> None:
        assert "Usage: gatekeeper" in installed.run("gatekeeper", "--help")
