"""The ``portable-bp`` command: models of tables, the backends found here, the article's example, and the guide."""

from __future__ import annotations

from collections.abc import Sequence

from portable_bp.cli.messages import print_message


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        The command line after the program's name. Default: ``sys.argv[1:]``.

    Returns
    -------
    int
        The exit code: 0 for success, 1 if the example disagrees with the article or a gradient with finite differences, 2 for
        wrong arguments or a file that cannot be used, 130 if the user interrupted it.
    """
    try:
        from portable_bp.cli.command import run  # here, so that Ctrl-C in this second ends with one line

        return run(arguments)
    except KeyboardInterrupt:
        print_message("interrupted; nothing was written.")
        return 130
