"""Walking the examples' stories, and spoiling them."""

import os
import shutil
import subprocess
from pathlib import Path

from tests import warm

ROOT = Path(__file__).parents[2]
TIMEOUT_SECONDS = 100


def check(name: str, root: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    """`python -m examples.NAME --check`, in `root`."""
    foreign = ("GATEKEEPER_", "STRIPE_")
    ours = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    return subprocess.run(
        [*warm.python(), "-m", f"examples.{name}", "--check"],
        cwd=root,
        env=ours | env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )


def sabotaged(tmp_path: Path, file: str, old: str, new: str) -> Path:
    """A copy of the examples in whose `file` something is wrong: a root for `check`."""
    copy = tmp_path / "examples"
    shutil.copytree(ROOT / "examples", copy, ignore=shutil.ignore_patterns("__pycache__"))
    text = (copy / file).read_text()
    assert old in text
    (copy / file).write_text(text.replace(old, new))
    return tmp_path
