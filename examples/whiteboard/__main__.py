"""`python -m examples.whiteboard`: in the browser, or with --check walked without hands."""

import sys

from examples.stage import App, main
from examples.whiteboard.app import create_app
from examples.whiteboard.billing import catalog
from examples.whiteboard.check import check

EXAMPLE = App(title="Whiteboard", catalog=catalog, create=create_app, check=check)

if __name__ == "__main__":
    sys.exit(main(EXAMPLE))
