"""CSV files read as typed columns: decoded, split into cells, and each column inferred from all of its cells."""

from __future__ import annotations

import collections
from collections.abc import Mapping
from dataclasses import replace

from portable_bp.tables.csv.formats import ColumnFormat
from portable_bp.tables.csv.inference import ASSUMPTIONS, CsvColumn, read_columns
from portable_bp.tables.csv.splitting import Cells, split_file
from portable_bp.tables.files import SEPARATORS, check_extension
from portable_bp.tables.index import name_index
from portable_bp.tables.messages import quoted
from portable_bp.tables.options import CsvOptions, find_columns

__all__ = ["ASSUMPTIONS", "ColumnFormat", "CsvColumn", "read_csv"]


def read_csv(
    path: str, raw: bytes, known: Mapping[str, ColumnFormat], options: CsvOptions
) -> tuple[dict[str, CsvColumn], list[str]]:
    """Return the columns of a CSV file by name, and what was assumed about the file.

    Columns in ``known`` are read in the format that they had in another file.
    """
    cells = split_file(path, raw, SEPARATORS[check_extension(path, list(SEPARATORS))])
    cells = cells._replace(names=name_index(cells.names))
    _check_names(path, cells.names)
    return read_columns(cells, _find_options(options, cells), known), cells.assumptions


def _check_names(path: str, names: list[str]) -> None:
    repeated = sorted(name for name, count in collections.Counter(names).items() if name and count > 1)
    if repeated:
        raise ValueError(f"{path} has more than one column called {quoted(repeated)}: give each column its own name.")
    if "" in names:
        raise ValueError(
            f"{path} has no name for column {names.index('') + 1} of {len(names)}: name it or delete it (pandas writes its "
            "index without a name, unless to_csv is given index=False)."
        )


def _find_options(options: CsvOptions, cells: Cells) -> CsvOptions:
    """Return options that name existing columns; ValueError if one does not exist, or is given as numbers and as text."""
    numbers = find_columns("--numbers", list(options.numbers), cells.names)
    text = find_columns("--text", list(options.text), cells.names)
    if both := numbers & text:
        raise ValueError(f"--numbers and --text both name {quoted(sorted(both))}: give each column to one of them.")
    return replace(options, numbers=numbers, text=text)
