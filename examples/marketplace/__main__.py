"""`python -m examples.marketplace`: in the browser, or with --check walked without hands."""

import sys

from examples.marketplace.app import create_app
from examples.marketplace.billing import catalog
from examples.marketplace.check import check
from examples.stage import App, main

EXAMPLE = App(
    title="Marketplace",
    catalog=catalog,
    create=create_app,
    check=check,
    settings={"disputes_borne_by": "seller"},
    connect=True,
)

if __name__ == "__main__":
    sys.exit(main(EXAMPLE))
