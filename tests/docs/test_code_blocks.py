"""Every code block of the documentation is run or checked. The conventions, by its language:

- `python`: run, in order, in one namespace and one folder for each page; `await` works anywhere.
- `bash`, `sh`, `shell`: what each line names must exist (see `shell.py`): a target of the Makefile,
  a command of `gatekeeper`, a distribution, a setting, a module of the page. Pipes and other
  programs cannot be checked so: run them, or make the block `text`.
- `console`: the same, each command after a `$ `; what it printed only if it is run.
- `json`, `toml`: parsed. `dotenv`: names only settings of `.env.example`.
- `text`: not checked. Any other language, or none, is an error.

Directives are HTML comments that stand directly before a block:

- `<!-- file: billing.py -->` writes the block to that file of the page's folder, for later blocks
  and commands to use; a module is imported at the end of the page if no block has done it.
- `<!-- uses: other.md -->` writes the files that another page shows.
- `<!-- env: NAME=value -->` sets a variable for the whole page: a setting of `.env.example`. The
  value may hold `{postgres_url}`, `{redis_url}`, `{sqlite_url}` or `{free_port}`.
- `<!-- run -->` runs a shell block (bash, in the page's folder, under 60 s).
- `<!-- output -->` before a `text` block: exactly what the block before it printed; a line `...`
  stands for any lines.
- `<!-- raises: SomeError -->`: the Python block ends with this error.

Python that readers need not see stands in a comment of its own: `<!-- hidden:`, the lines, `-->`.
"""

from pathlib import Path

import pytest

from tests.docs.pages import plan_page, run_page

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "examples").glob("*/README.md"),
    ]
)
PLACEHOLDERS = frozenset({"free_port", "postgres_url", "redis_url", "sqlite_url"})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_code_block_of_the_page_works(
    page: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    def lookup(name: str) -> str:
        if name not in PLACEHOLDERS:
            raise ValueError(f"there is no placeholder {{{name}}}")
        return str(request.getfixturevalue(name))

    plan = plan_page(page, lookup=lookup)
    if plan.steps:
        folder = tmp_path / "page"
        folder.mkdir()
        run_page(page, plan, folder)
