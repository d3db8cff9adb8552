"""`python -m easyrec` is `easyrec`."""

import sys

from easyrec.cli import main

if __name__ == "__main__":
    sys.exit(main())
