"""``python -m portable_bp`` is the ``portable-bp`` command."""

import sys

from portable_bp.cli import main

if __name__ == "__main__":
    sys.exit(main())
