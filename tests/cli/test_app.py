"""The command as a whole: `version`, `explain`, and how errors end it."""

import sqlite3
import sys
from pathlib import Path

import pytest

from gatekeeper import __version__
from gatekeeper.cli.loading import load_gate
from gatekeeper.errors import ConfigurationError
from tests.cli.conftest import Host


@pytest.fixture
def module(host: Host, monkeypatch: pytest.MonkeyPatch) -> str:
    """The host's `billing`, by a name that no other test imports, in the current folder."""
    name = "billing_of_the_cli_tests"
    (host.folder / "billing.py").rename(host.folder / f"{name}.py")
    monkeypatch.chdir(host.folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "modules", {**sys.modules})
    monkeypatch.setenv("GATEKEEPER_DATABASE_URL", host.env["GATEKEEPER_DATABASE_URL"])
    return name


def test_version_prints_the_version(host: Host) -> None:
    assert host.run_process("version").strip() == __version__


def test_without_arguments_it_lists_its_commands(host: Host) -> None:
    shown = host.run(status=2)
    for command in ("db", "explain", "stripe", "stripe-sim", "version", "worker"):
        assert command in shown


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("billing", "'billing' is not of the form MODULE:GATE."),
        (":gate", "':gate' is not of the form MODULE:GATE."),
        ("billing:", "'billing:' is not of the form MODULE:GATE."),
        ("../billing:gate", "'../billing:gate' is not of the form MODULE:GATE."),
        ("shop:gate", "There is no module 'shop' to import."),
        ("billing:door", "billing:door: there is no 'door'."),
        ("billing:Holder.door", "billing:Holder.door: there is no 'door'."),
        ("billing:catalog", "billing:catalog is of Catalog, and no Gatekeeper."),
    ],
)
def test_a_wrong_reference_is_refused_and_says_what_is_wrong(
    module: str, reference: str, words: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_gate(reference.replace("billing", module))
    assert str(caught.value).replace(module, "billing") == words


def test_a_gate_may_be_an_attribute_of_an_attribute(module: str) -> None:
    assert load_gate(f"{module}:Holder.gate") is load_gate(f"{module}:gate")


def test_a_wrong_reference_ends_with_status_1_and_our_words(host: Host) -> None:
    shown = host.run_process("explain", "billing", "org_1", status=1)
    assert shown == "gatekeeper: 'billing' is not of the form MODULE:GATE.\n"


def test_every_bad_setting_is_named_at_once(host: Host) -> None:
    del host.env["GATEKEEPER_DATABASE_URL"]
    bad = {
        "GATEKEEPER_HOLD_TTL_SECONDS": "soon",
        "GATEKEEPER_REDISURL": "redis://localhost",
        "STRIPE_SECRET_KEY": "pk_test_1",
    }
    host.env |= bad
    shown = host.run("db", "upgrade", status=1)
    assert shown.startswith("gatekeeper: The configuration of Gatekeeper has 4 fault(s):")
    assert "GATEKEEPER_DATABASE_URL is not set" in shown
    assert "GATEKEEPER_REDISURL is no setting; did you mean GATEKEEPER_REDIS_URL?" in shown
    assert "GATEKEEPER_HOLD_TTL_SECONDS must be a whole number" in shown
    assert "STRIPE_SECRET_KEY" in shown
    assert "Traceback" not in shown
    assert "pk_test_1" not in shown


def test_what_a_gate_lacks_is_named_too(host: Host) -> None:
    del host.env["GATEKEEPER_DATABASE_URL"]
    shown = host.run("worker", "billing:gate", status=1)
    assert "GATEKEEPER_DATABASE_URL is not set" in shown
    assert "Traceback" not in shown


def test_a_fault_of_the_hosts_own_module_keeps_its_traceback(host: Host) -> None:
    (host.folder / "broken.py").write_text("1 / 0\n")
    assert "ZeroDivisionError" in host.run("explain", "broken:gate", "org_1", status=1)


def test_a_module_that_another_one_lacks_is_named(host: Host) -> None:
    (host.folder / "needy.py").write_text("import no_such_thing\n")
    shown = host.run("explain", "needy:gate", "org_1", status=1)
    assert shown == "gatekeeper: There is no module 'no_such_thing' to import.\n"


# -- explain --------------------------------------------------------------------------------------


def test_explain_tells_what_a_customer_has_and_can_spend(host: Host) -> None:
    host.migrate()
    shown = host.run("explain", "billing:gate", "org_1").splitlines()
    assert shown[0].startswith("customer org_1, version 0, at ")
    assert shown[5:7] == ["plans:", "  free: by default plan free"]
    assert shown[-2:] == ["balances:", "  credits: 5 available, 0 held"]


def test_explain_changes_nothing(host: Host, sqlite_url: str) -> None:
    host.migrate()
    host.run("explain", "billing:gate", "org_1")
    with sqlite3.connect(Path(sqlite_url.removeprefix("sqlite:///"))) as database:
        assert database.execute("SELECT count(*) FROM gatekeeper_customers").fetchone() == (0,)
    database.close()


def test_explain_refuses_what_can_be_no_customer(host: Host) -> None:
    host.migrate()
    shown = host.run("explain", "billing:gate", "x" * 256, status=1)
    assert shown.startswith("gatekeeper: ")
    assert "Traceback" not in shown


def test_a_database_without_our_tables_is_an_error_that_says_what_to_do(host: Host) -> None:
    shown = host.run("explain", "billing:gate", "org_1", status=1)
    assert shown.startswith("gatekeeper: There is no SQLite file")
    assert "gatekeeper db upgrade" in shown
