"""`python -m edgeflow`: the command line."""

import sys

from edgeflow.cli import main

if __name__ == "__main__":
    sys.exit(main())
