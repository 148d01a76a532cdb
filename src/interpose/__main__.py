"""`python -m interpose`: the same as the command `interpose`."""

import sys

from interpose.cli import main

if __name__ == "__main__":
    sys.argv[0] = "interpose"
    main()
