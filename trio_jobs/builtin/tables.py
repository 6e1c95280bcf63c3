"""`csv_summary`: what is in a table, column by column."""

import csv
import io
import math
import re
from collections.abc import Iterator
from typing import Literal

import msgspec

from ..errors import Fail
from .files import CHUNK, FileInput, Source
from .outputs import Outputs

MAX_ROW = 1_000_000
"""Characters of one row with all its line breaks; a field is limited by csv, to 131,072."""
MAX_COLUMNS = 1_000
BATCH_ROWS = 1_000
SHOWN = 100
"""Characters of a name, minimum or maximum that the result shows."""

Cell = int | float | str

_DATE = r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
_KIND = re.compile(
    # "007" is a number to nobody but a parser: it would lose its zeros
    r"(?P<integer>[+-]?(?:0|[1-9][0-9]{0,17}))"
    r"|(?P<number>[+-]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<boolean>true|false|True|False|TRUE|FALSE)"
    rf"|(?P<date>{_DATE})"
    rf"|(?P<datetime>{_DATE}[T ][0-2][0-9]:[0-5][0-9](?::[0-6][0-9](?:\.[0-9]+)?)?"
    r"(?:Z|[+-][0-2][0-9]:?[0-5][0-9])?)"
)
_NUMBERS = {"integer", "number"}


class CsvSummary(FileInput, frozen=True, tag="csv_summary"):
    """With `header`, the first row names the columns."""

    delimiter: Literal[",", ";", "\t", "|"] = ","
    header: bool = True
    encoding: Literal["utf-8", "utf-16", "latin-1"] = "utf-8"


class Column(msgspec.Struct, frozen=True):
    """`type` is integer, number, boolean, date, datetime or text: the narrowest for all cells
    that are not empty ("empty" when there are none). `mean` is for integer and number only.
    """

    name: str
    type: str
    empty: int
    min: Cell | None
    max: Cell | None
    mean: float | None


class CsvResult(msgspec.Struct, frozen=True, tag_field="operation", tag="csv_summary"):
    """`rows` leaves out the header and blank lines.

    `ragged` of them have another number of cells: missing cells count as empty, the others not.
    """

    rows: int
    ragged: int
    columns: list[Column]


def csv_summary(options: CsvSummary, source: Source, _outputs: Outputs) -> CsvResult:
    """One pass; memory depends on the number of columns alone."""
    encoding = "utf-8-sig" if options.encoding == "utf-8" else options.encoding
    summary = _Table(options.header)
    with (
        io.BufferedReader(source, CHUNK) as buffered,
        io.TextIOWrapper(buffered, encoding, newline="") as text,
    ):
        lines = _Lines(text)
        reader = csv.reader(lines, delimiter=options.delimiter, strict=True)
        batch: list[list[str]] = []
        batch_length = 0
        try:
            for row in reader:
                batch.append(row)
                batch_length += lines.row_length
                lines.row_length = 0
                if len(batch) == BATCH_ROWS or batch_length > MAX_ROW:
                    summary.add(batch)
                    batch, batch_length = [], 0
        except csv.Error as error:
            raise Fail(f"Line {reader.line_num} is not valid CSV: {error}.") from error
        except UnicodeError as error:
            raise Fail(f"The file is not {options.encoding}: {error}.") from error
        summary.add(batch)
    return CsvResult(summary.rows, summary.ragged, [column.summary() for column in summary.columns])


class _Lines:
    """The lines of a text, none of which is longer than memory should bear."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self.row_length = 0

    def __iter__(self) -> Iterator[str]:
        while line := self._text.readline(MAX_ROW + 1):
            self.row_length += len(line)
            if self.row_length > MAX_ROW:
                raise Fail(
                    f"A row is longer than {MAX_ROW} characters. "
                    "Is a quote missing, or is this not a table?"
                )
            yield line


class _Table:
    """Takes rows by the thousand and works by column: twice as fast as by the cell."""

    def __init__(self, header: bool) -> None:
        self._header = header
        self.rows = self.ragged = 0
        self.columns: list[_Column] = []

    def add(self, rows: list[list[str]]) -> None:
        rows = [row for row in rows if row]
        if rows and not self.columns:
            width = len(rows[0])
            if width > MAX_COLUMNS:
                raise Fail(f"The table has more than {MAX_COLUMNS} columns.")
            names = rows.pop(0) if self._header else [f"column {n + 1}" for n in range(width)]
            self.columns = [_Column(name[:SHOWN]) for name in names]
        self.rows += len(rows)
        width = len(self.columns)
        for place, row in enumerate(rows):
            if len(row) != width:
                self.ragged += 1
                rows[place] = (row + [""] * width)[:width]
        for column, cells in zip(self.columns, zip(*rows, strict=True), strict=False):
            column.add(cells)


class _Column:
    """What is known of a column so far.

    Its type is known at the end only, so both orders are kept: of numbers, and of text.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._empty = self._filled = 0
        self._kinds: set[str] = set()
        self._first, self._last = "", ""
        self._low, self._high, self._mean = math.inf, -math.inf, 0.0

    def add(self, cells: tuple[str, ...]) -> None:
        filled = [cell for cell in map(str.strip, cells) if cell]
        self._empty += len(cells) - len(filled)
        if not filled:
            return
        first, last = min(filled), max(filled)
        self._first = min(self._first, first[:SHOWN]) if self._filled else first[:SHOWN]
        self._last = max(self._last, last[:SHOWN])
        self._filled += len(filled)
        if "text" not in self._kinds:
            match = _KIND.fullmatch
            kinds = [(m.lastgroup or "") if (m := match(cell)) else "text" for cell in filled]
            self._kinds.update(kinds)
            if self._kinds <= _NUMBERS:
                self._add_numbers(
                    [
                        int(cell) if kind == "integer" else float(cell)
                        for cell, kind in zip(filled, kinds, strict=True)
                    ]
                )

    def _add_numbers(self, values: list[int | float]) -> None:
        self._low, self._high = min(self._low, *values), max(self._high, *values)
        if math.isinf(self._low) or math.isinf(self._high):  # "1e999": a number to nobody
            self._kinds.add("text")
            return
        self._mean += (sum(values) / len(values) - self._mean) * (len(values) / self._filled)

    def summary(self) -> Column:
        name, kinds = self._name, self._kinds
        if not kinds:
            return Column(name, "empty", self._empty, None, None, None)
        if kinds <= _NUMBERS:
            kind = "number" if "number" in kinds else "integer"
            mean = self._mean if math.isfinite(self._mean) else None
            return Column(name, kind, self._empty, self._low, self._high, mean)
        if kinds == {"date", "datetime"}:
            kind = "datetime"
        else:
            kind = "text" if len(kinds) > 1 else min(kinds)
        return Column(name, kind, self._empty, self._first, self._last, None)
