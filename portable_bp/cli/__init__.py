"""The ``portable-bp`` command: models of tables, the backends found here, the article's example, and the guide."""

from portable_bp.cli.command import main

__all__ = ["main"]
