"""Easel's only start: `python app.py` serves the page, `python app.py --help` lists the verbs."""

import sys

from cli.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
