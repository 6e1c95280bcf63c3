"""`csv_summary` and `json_lines_summary` of process_file."""

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_jobs.builtin import process_file
from trio_jobs.config import Settings
from trio_jobs.errors import Fail

from .conftest import FakeCtx, on_the_wire


def upload(body: bytes, **params: str) -> Any:
    handler = process_file.handler(Settings(data_dir="unused"))
    return on_the_wire(handler.run(handler.decode_params(params), FakeCtx(upload=body)))


def table(body: str | bytes, **params: str) -> Any:
    raw = body.encode() if isinstance(body, str) else body
    return upload(raw, operation="csv_summary", **params)


def lines(body: str | bytes) -> Any:
    raw = body.encode() if isinstance(body, str) else body
    return upload(raw, operation="json_lines_summary")


def test_a_table_is_summed_up_by_column() -> None:
    result = table(
        "id,price,when,name,flag,gone\n"
        '1,2.5,2024-01-31,"Müller, Bo",true,\n'
        "2,,2023-12-01,Ann,false,\n"
        "\n"
        '10,-3,2024-02-01,"two\nlines",TRUE,\n'
    )
    assert (result["rows"], result["ragged"]) == (3, 0)
    columns = {column["name"]: column for column in result["columns"]}
    assert columns["id"] == {
        "name": "id",
        "type": "integer",
        "empty": 0,
        "min": 1,
        "max": 10,
        "mean": pytest.approx(13 / 3),
    }
    assert columns["price"] == {
        "name": "price",
        "type": "number",
        "empty": 1,
        "min": -3,
        "max": 2.5,
        "mean": -0.25,
    }
    assert (columns["when"]["type"], columns["when"]["min"]) == ("date", "2023-12-01")
    assert (columns["name"]["type"], columns["name"]["max"]) == ("text", "two\nlines")
    assert columns["flag"]["type"] == "boolean"
    assert (columns["gone"]["type"], columns["gone"]["empty"]) == ("empty", 3)


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "-2", "+3"], "integer"),
        (["1", "2.0"], "number"),
        (["1e3", ".5", "5."], "number"),
        (["1", "N/A"], "text"),
        (["N/A", "1"], "text"),
        (["007", "1"], "text"),
        (["nan", "inf"], "text"),
        (["1e999"], "text"),
        (["9" * 30], "number"),
        (["9" * 100_000], "text"),
        (["1_000"], "text"),
        (["\u0661"], "text"),
        (["2024-01-01"], "date"),
        (["2024-13-01"], "text"),
        (["2024-01-01T10:00:00Z", "2024-01-01"], "datetime"),
        (["2024-01-01 10:00", "2024-01-01T10:00:00.5+02:00"], "datetime"),
        (["true", "1"], "text"),
        (["", " "], "empty"),
    ],
)
def test_the_narrowest_type_that_fits_all_cells(cells: list[str], kind: str) -> None:
    [column, _] = table("a,b\n" + "".join(f"{cell},\n" for cell in cells))["columns"]
    assert column["type"] == kind


def test_rows_of_another_length_are_counted() -> None:
    result = table("a,b\n1,2\n1\n1,2,3\n")
    assert (result["rows"], result["ragged"]) == (3, 2)


def test_a_table_may_have_no_header_and_other_delimiters() -> None:
    result = table("1;2\n3;4\n", delimiter=";", header="false")
    assert result["rows"] == 2
    assert [column["name"] for column in result["columns"]] == ["column 1", "column 2"]


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        ("\ufeffname\nü\n".encode(), "utf-8"),
        ("name\nü\n".encode("utf-16"), "utf-16"),
        ("name\nü\n".encode("latin-1"), "latin-1"),
    ],
)
def test_encodings_are_read_as_told(body: bytes, encoding: str) -> None:
    [column] = table(body, encoding=encoding)["columns"]
    assert (column["name"], column["min"]) == ("name", "ü")


@pytest.mark.parametrize("body", ["", "\n\n", "\ufeff"])
def test_nothing_is_an_empty_table(body: str) -> None:
    assert table(body) == {"operation": "csv_summary", "rows": 0, "ragged": 0, "columns": []}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"a\n" + b"x" * 200_000 + b"\n", "field larger"),
        (b"a\n" + b"x,y" * 700_000, "longer than 1000000 characters"),
        (b'a\n"' + b"x\n" * 600_000, "longer than 1000000 characters|field larger"),
        (b'a\n"' + b'","x\n' * 400_000, "longer than 1000000 characters"),
        (b"a\n" + b"\xff\n", "not utf-8"),
        (b'a\n"x"y\n', "line 2 is not valid CSV|Line 2 is not valid CSV"),
        (b"," * 1_000, "more than 1000 columns"),
    ],
    ids=range(7),
)
def test_what_is_no_table_fails_with_the_reason(body: bytes, message: str) -> None:
    with pytest.raises(Fail, match=message):
        table(body)


def test_long_names_and_cells_do_not_fill_the_result() -> None:
    [column] = table("n" * 1_000 + "\n" + "v" * 1_000 + "\n")["columns"]
    assert (len(column["name"]), len(column["min"]), len(column["max"])) == (100, 100, 100)


CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


@given(st.lists(st.lists(CELL, min_size=2, max_size=2), min_size=1, max_size=8))
def test_every_table_that_csv_writes_can_be_read(rows: list[list[str]]) -> None:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, quoting=csv.QUOTE_ALL).writerows(rows)
    result = table(buffer.getvalue(), header="false")
    assert (result["rows"], result["ragged"]) == (len(rows), 0)
    for index, column in enumerate(result["columns"]):
        cells = [row[index].strip() for row in rows]
        assert column["empty"] == cells.count("")
        if column["type"] in ("text", "date", "datetime", "boolean"):
            assert column["min"] == min(cell for cell in cells if cell)
            assert column["max"] == max(cell for cell in cells if cell)
        elif column["type"] in ("integer", "number"):
            numbers = [float(cell) for cell in cells if cell]
            assert (column["min"], column["max"]) == (min(numbers), max(numbers))
            assert column["mean"] == pytest.approx(sum(numbers) / len(numbers))


def test_json_lines_are_summed_up_by_key() -> None:
    result = lines('{"a":1,"b":null}\n\n{"a":"x","c":[1]}\n{"a":1.5}\n[1]\nnot json\n"x"')
    assert result == {
        "operation": "json_lines_summary",
        "rows": 5,
        "types": {"object": 3, "array": 1, "string": 1},
        "keys": [
            {"name": "a", "count": 3, "types": {"integer": 1, "string": 1, "number": 1}},
            {"name": "b", "count": 1, "types": {"null": 1}},
            {"name": "c", "count": 1, "types": {"array": 1}},
        ],
        "more_keys": False,
        "invalid": 1,
        "invalid_lines": [{"line": 6, "detail": result["invalid_lines"][0]["detail"]}],
    }


@pytest.mark.parametrize(
    "line",
    [
        b"\xff",
        b'"\xff"',
        b"[" * 900_000,
        b'{"a":1} {"b":2}',
        b"NaN",
        b'"' + b"x" * 1_000_000 + b'"',
        b"'a'",
        b"\0",
        b'"\\ud800"',
    ],
    ids=range(9),
)
def test_an_invalid_line_is_counted_and_the_others_go_on(line: bytes) -> None:
    result = lines(b"1\n" + line + b"\n2\n")
    assert (result["rows"], result["invalid"]) == (2, 1)
    assert result["invalid_lines"][0]["line"] == 2


def test_many_keys_and_many_errors_do_not_fill_the_result() -> None:
    many = json.dumps({f"{n}-" + "k" * 200: n for n in range(1_500)})
    result = lines(f"{many}\n" + "x\n" * 50)
    assert (len(result["keys"]), result["more_keys"]) == (1_000, True)
    assert max(len(key["name"]) for key in result["keys"]) == 100
    assert (result["invalid"], len(result["invalid_lines"])) == (50, 10)


SCALAR = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=9)
ROW = SCALAR | st.lists(SCALAR, max_size=3) | st.dictionaries(st.text(max_size=3), SCALAR)


@given(st.lists(ROW, max_size=6))
def test_every_line_that_json_writes_is_valid(rows: list[Any]) -> None:
    result = lines("".join(json.dumps(row) + "\n" for row in rows))
    assert (result["rows"], result["invalid"]) == (len(rows), 0)
