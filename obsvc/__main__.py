"""``python -m obsvc``: the same as the command ``obsvc``."""
from __future__ import annotations

import sys

from obsvc.cmd.main import main

if __name__ == "__main__":
    sys.exit(main())
