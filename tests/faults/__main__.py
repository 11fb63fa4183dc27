"""`python -m tests.faults`: see `command`."""

import sys

from tests.faults.command import main
from tests.faults.every import EVERY_FAULT

sys.exit(main(sys.argv[1:], EVERY_FAULT))
