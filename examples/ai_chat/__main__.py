"""`python -m examples.ai_chat`: in the browser, or with --check walked without hands."""

import sys

from examples.ai_chat.app import create_app
from examples.ai_chat.billing import catalog
from examples.ai_chat.check import check
from examples.stage import App, main

EXAMPLE = App(title="AI chat", catalog=catalog, create=create_app, check=check)

if __name__ == "__main__":
    sys.exit(main(EXAMPLE))
