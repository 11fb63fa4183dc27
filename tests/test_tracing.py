"""That lines which run in greenlets are measured, each as its own file's."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

MODULE = """\
import greenlet


def inner(back):
    if back.switch(1) == 2:
        back.switch(3)
        return 4
    return 5
"""

SCRIPT = """\
from tests.tracing import trace_greenlets

trace_greenlets()
import greenlet
import told


def outer():
    child = greenlet.greenlet(told.inner)
    got = child.switch(greenlet.getcurrent())
    if got == 1:
        got = child.switch(2)
    else:
        got = None
    greenlet.greenlet(lambda: None).switch()
    return got, child.switch()


assert outer() == (3, 4), outer()
assert outer() == (3, 4), outer()
"""


def test_each_greenlet_is_measured_as_if_it_were_alone(tmp_path: Path) -> None:
    (tmp_path / "told.py").write_text(MODULE)
    (tmp_path / "main.py").write_text(SCRIPT)
    rules = "[run]\nbranch = true\nconcurrency = thread\ncore = ctrace\nsource = .\n"
    (tmp_path / ".coveragerc").write_text(rules)
    inherited = {name: value for name, value in os.environ.items() if "COV" not in name}
    environment = inherited | {"PYTHONPATH": str(ROOT)}
    for command in (["run", "main.py"], ["json", "-q", "-o", "told.json"]):
        subprocess.run(
            [sys.executable, "-m", "coverage", *command], cwd=tmp_path, env=environment, check=True
        )
    files = json.loads((tmp_path / "told.json").read_text())["files"]
    assert files["told.py"]["missing_lines"] == [8]
    assert files["told.py"]["missing_branches"] == [[5, 8]]
    assert files["main.py"]["missing_lines"] == [14]
    assert files["main.py"]["missing_branches"] == [[11, 14]]
