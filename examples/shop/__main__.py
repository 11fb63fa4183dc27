"""`python -m examples.shop`: in the browser, or with --check walked without hands."""

import sys

from examples.shop.app import create_app
from examples.shop.billing import catalog
from examples.shop.check import check
from examples.stage import App, main

EXAMPLE = App(title="Shop", catalog=catalog, create=create_app, check=check)

if __name__ == "__main__":
    sys.exit(main(EXAMPLE))
