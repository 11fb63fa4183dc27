"""`python -m examples.music_mixer`: in the browser, or with --check walked without hands."""

import sys

from examples.music_mixer.app import create_app
from examples.music_mixer.billing import catalog
from examples.music_mixer.check import check
from examples.stage import App, main

EXAMPLE = App(title="Music mixer", catalog=catalog, create=create_app, check=check)

if __name__ == "__main__":
    sys.exit(main(EXAMPLE))
