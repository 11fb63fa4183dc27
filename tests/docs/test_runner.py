"""The documentation's runner runs what it says, and lets no block through unchecked."""

from pathlib import Path

import pytest

from tests.docs import pages, shell
from tests.docs.markdown import DocsError, read_blocks
from tests.docs.pages import plan_page, run_page
from tests.docs.runner import matches


def lookup(name: str) -> str:
    return f"value of {name}"


def run(text: str, tmp_path: Path) -> Path:
    """Plan and run a page of this text; the folder that it ran in."""
    path = tmp_path / "page.md"
    path.write_text(text)
    folder = tmp_path / "folder"
    folder.mkdir()
    run_page(path, plan_page(path, lookup=lookup), folder)
    return folder


def fence(language: str, code: str, *directives: str) -> str:
    return "".join(f"<!-- {d} -->\n" for d in directives) + f"```{language}\n{code}\n```\n\n"


class TestPython:
    def test_blocks_share_a_namespace_and_may_await(self, tmp_path: Path) -> None:
        text = "# Page\n\n" + fence("python", "import asyncio\nvalue = await asyncio.sleep(0, 20)")
        run(text + "Then:\n\n" + fence("python", "value += 1\nassert value == 21"), tmp_path)

    def test_the_event_loop_is_one_for_the_page(self, tmp_path: Path) -> None:
        text = fence(
            "python", "import asyncio\nloop = asyncio.get_running_loop()\nawait asyncio.sleep(0)"
        )
        same = "await asyncio.sleep(0)\nassert loop is asyncio.get_running_loop()"
        run(text + fence("python", same), tmp_path)

    def test_a_failure_names_the_pages_line(self, tmp_path: Path) -> None:
        with pytest.raises(DocsError, match=r'page\.md", line 6'):
            run("Text.\n\n```python\nimport json\n\nassert json.dumps(1) == '2'\n```\n", tmp_path)

    def test_a_block_in_a_list_is_run(self, tmp_path: Path) -> None:
        with pytest.raises(DocsError, match="ZeroDivisionError"):
            run("1. First:\n\n   ```python\n   1 / 0\n   ```\n", tmp_path)

    def test_an_expected_error_must_come(self, tmp_path: Path) -> None:
        run(fence("python", "{}['x']", "raises: KeyError"), _sub(tmp_path, "right"))
        with pytest.raises(DocsError, match="did not raise KeyError"):
            run(fence("python", "{}.get('x')", "raises: KeyError"), _sub(tmp_path, "none"))
        with pytest.raises(DocsError, match="ZeroDivisionError"):
            run(fence("python", "1 / 0", "raises: KeyError"), _sub(tmp_path, "other"))

    def test_hidden_code_runs(self, tmp_path: Path) -> None:
        text = "<!-- hidden:\nsecret = 3\n-->\n\n" + fence("python", "assert secret == 3")
        run(text, tmp_path)

    def test_annotations_of_the_page_can_be_resolved(self, tmp_path: Path) -> None:
        code = (
            "from typing import get_type_hints\nclass A: ...\nclass B:\n    a: 'A'\n"
            "assert get_type_hints(B) == {'a': A}"
        )
        run(fence("python", code), tmp_path)

    def test_a_page_sees_none_of_our_settings(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("STRIPE_SECRET_KEY", "sk_test_leak")
        run(fence("python", "import os\nassert 'STRIPE_SECRET_KEY' not in os.environ"), tmp_path)


class TestTheEnd:
    """Nothing that a page has started outlives it, however it ends: it would hold our end of the
    page's output."""

    START = "import subprocess\nsubprocess.Popen(['sleep', '600'])\n"

    def test_of_a_page(self, tmp_path: Path) -> None:
        run(fence("python", self.START), tmp_path)

    def test_of_a_page_that_fails(self, tmp_path: Path) -> None:
        with pytest.raises(DocsError, match="ZeroDivisionError"):
            run(fence("python", f"{self.START}1 / 0"), tmp_path)

    def test_of_a_page_that_does_not_end(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pages, "PAGE_TIMEOUT_SECONDS", 1)
        with pytest.raises(DocsError, match="takes more than 1 s"):
            run(fence("python", f"{self.START}import time\ntime.sleep(600)"), tmp_path)


class TestFiles:
    def test_a_file_can_be_imported(self, tmp_path: Path) -> None:
        text = fence("python", "plans = ['free']", "file: billing.py")
        folder = run(text + fence("python", "from billing import plans\nassert plans"), tmp_path)
        assert (folder / "billing.py").read_text() == "plans = ['free']\n"

    def test_a_module_that_no_block_imports_is_imported_all_the_same(self, tmp_path: Path) -> None:
        with pytest.raises(DocsError, match="ZeroDivisionError"):
            run(fence("python", "1 / 0", "file: app/main.py"), tmp_path)

    def test_another_pages_files_can_be_used(self, tmp_path: Path) -> None:
        (tmp_path / "first.md").write_text(fence("python", "x = 1", "file: one.py"))
        run(fence("python", "from one import x\nassert x == 1", "uses: first.md"), tmp_path)

    @pytest.mark.parametrize("name", ["../out.py", "/tmp/out.py"])
    def test_a_file_outside_of_the_folder_is_refused(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(DocsError, match="outside"):
            run(fence("python", "x = 1", f"file: {name}"), tmp_path)


class TestOutput:
    def test_the_shown_output_is_compared(self, tmp_path: Path) -> None:
        text = fence("python", "print('a'); print('b')") + fence("text", "a\nb", "output")
        run(text, _sub(tmp_path, "right"))
        with pytest.raises(DocsError, match="the output is another"):
            run(text.replace("a\nb", "a\nc"), _sub(tmp_path, "wrong"))

    @pytest.mark.parametrize(
        ("shown", "printed", "same"),
        [
            ("a\n...\nc", "a\nb\nb\nc\n", True),
            ("a\n...\nc", "a\nc", True),
            ("...", "", True),
            ("a\n...", "b\na", False),
            ("a", "a\nb", False),
            ("a\nb", "a", False),
        ],
    )
    def test_three_dots_stand_for_any_lines(self, shown: str, printed: str, same: bool) -> None:
        assert matches(shown, printed) is same


class TestEnvironment:
    def test_a_setting_with_a_placeholder_reaches_the_page(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(shell, "_known_settings", lambda: frozenset({"GATEKEEPER_X"}))
        code = "import os\nassert os.environ['GATEKEEPER_X'] == '<value of redis_url>'"
        run(fence("python", code, "env: GATEKEEPER_X=<{redis_url}>"), tmp_path)

    def test_an_unknown_setting_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(shell, "_known_settings", lambda: frozenset({"GATEKEEPER_X"}))
        with pytest.raises(DocsError, match="GATEKEEPER_Y"):
            run(fence("python", "1", "env: GATEKEEPER_Y=1"), _sub(tmp_path, "directive"))
        with pytest.raises(DocsError, match="GATEKEEPER_Y"):
            run(fence("dotenv", "# a note\nGATEKEEPER_Y=1"), _sub(tmp_path, "block"))
        with pytest.raises(DocsError, match="GATEKEEPER_Y"):
            run(fence("bash", "GATEKEEPER_Y=1 make test"), _sub(tmp_path, "prefix"))
        with pytest.raises(DocsError, match="GATEKEEPER_Y"):
            run(fence("bash", "export GATEKEEPER_Y=1"), _sub(tmp_path, "export"))


class TestShell:
    def test_a_marked_block_is_run(self, tmp_path: Path) -> None:
        folder = run(fence("bash", "printf made | tee made.txt", "run"), tmp_path)
        assert (folder / "made.txt").read_text() == "made"

    def test_a_failing_command_fails(self, tmp_path: Path) -> None:
        with pytest.raises(DocsError, match="status 7"):
            run(fence("bash", "sh -c 'exit 7' | cat", "run"), tmp_path)

    def test_a_consoles_output_is_compared(self, tmp_path: Path) -> None:
        text = fence("console", "$ printf 'a\\nb\\n'\na\nb\n$ true \\\n  && echo yes\nyes", "run")
        run(text, _sub(tmp_path, "right"))
        with pytest.raises(DocsError, match="the output is another"):
            run(text.replace("\nyes", "\nno"), _sub(tmp_path, "wrong"))

    @pytest.mark.parametrize(
        "line",
        [
            "make test && make demo ARGS=--check",
            "make lint  # what the build checks",
            "pip install 'gatekeeper-entitlements[fastapi]'",
            "uv add gatekeeper-entitlements uvicorn",
            "git clone https://example.com/gatekeeper.git; cd gatekeeper",
            "uv run uvicorn app:api --port 8000",
            "python app.py",
            "cp pyproject.toml copy.toml",
        ],
    )
    def test_a_line_that_names_what_exists_passes(self, line: str) -> None:
        shell.check(line, {"app.py": "from x import y as api\n"})

    @pytest.mark.parametrize(
        ("line", "fault"),
        [
            ("make nothing", "no target `nothing`"),
            ("pip install 'gatekeeper-entitlements[flask]'", "no extra"),
            ("pip install no-such-distribution", "uv.lock"),
            ("pip freeze", "only `add` and `install`"),
            ("uvicorn app:api", "has no `api`"),
            ("uvicorn other:api", "no file `other.py`"),
            ("uvicorn", "names no"),
            ("python other.py", "no file"),
            ("python -m other", "only a file"),
            ("cp nothing.txt x", "no file"),
            ("git push", "only `git clone`"),
            ("curl http://localhost:8000/", "cannot be checked"),
            ("make test | tee log", "can only be run"),
            ("make test > log", "can only be run"),
        ],
    )
    def test_a_line_that_does_not_is_refused(self, line: str, fault: str) -> None:
        with pytest.raises(DocsError, match=fault):
            shell.check(line, {"app.py": "class App: ...\n"})

    def test_a_command_of_gatekeeper_must_exist_with_its_options(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(shell, "_gatekeeper_help", lambda _words: "--once  Run --dry-run-all")
        shell.check("gatekeeper worker --once", {})
        with pytest.raises(DocsError, match="no option --dry-run"):
            shell.check("gatekeeper worker --dry-run", {})

    def test_a_page_that_names_an_unknown_target_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(DocsError, match=r"page\.md:4: .*`nothing`"):
            run("Text\n\n" + fence("bash", "make nothing"), tmp_path)


class TestNothingIsUnchecked:
    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            (fence("", "x"), "without a language"),
            (fence("ruby", "x"), "nothing checks a block of `ruby`"),
            ("Text:\n\n    indented()\n", "indented"),
            (fence("python", "1", "skip"), "no such directive"),
            (fence("python", "1", "file"), "no such directive"),
            ("<!-- run -->\n\nText.\n", "stands before no code block"),
            ("<!-- run -->\n", "stands before no code block"),
            (fence("python", "1", "run"), "says nothing"),
            (fence("text", "1", "raises: KeyError"), "says nothing"),
            (fence("json", "{'a': 1}"), "Expecting property name"),
            (fence("toml", "a = "), "Invalid value"),
            (fence("console", "make test"), "begins with a `\\$ ` prompt"),
            (fence("console", "$ make test\nall green"), "output of `make test` is not checked"),
            (fence("dotenv", "nothing"), "is no NAME=value"),
            (fence("python", "1", "env: X"), "has no NAME=value"),
        ],
    )
    def test_a_block_that_nothing_would_check_is_refused(
        self, tmp_path: Path, text: str, fault: str
    ) -> None:
        with pytest.raises(DocsError, match=fault):
            run(text, tmp_path)

    def test_text_and_a_readers_comment_pass(self, tmp_path: Path) -> None:
        text = "<!-- A note to whoever edits this page. -->\n\n" + fence("text", "anything")
        run(text + fence("json", '{"a": 1}') + fence("toml", "a = 1"), tmp_path)

    def test_a_blocks_line_is_its_codes_first(self) -> None:
        blocks = read_blocks("a\n\n```python\none\n```\n\n<!-- hidden:\ntwo\n-->\n", "page.md")
        assert [(block.code, block.line) for block in blocks] == [("one\n", 4), ("two\n", 8)]


def _sub(tmp_path: Path, name: str) -> Path:
    folder = tmp_path / name
    folder.mkdir()
    return folder
