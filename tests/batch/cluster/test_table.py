"""The columns are those that the documentation names, in both directions."""

import re
from pathlib import Path

import pyarrow as pa
import pytest

from cxrscreen.batch.cluster.table import ROWS, SCHEMA, STATUS, table_of

PAGE = Path(__file__).parents[3] / "docs" / "scale.md"


def test_every_column_is_documented() -> None:
    section = PAGE.read_text(encoding="utf-8").split("Version 1 of the columns")[1].split("\n\n")[1]
    named = [name for line in section.splitlines()[2:] for name in re.findall(r"`(\w+)`", line.split("|")[1])]
    assert sorted(named) == sorted(ROWS.names)
    assert set(ROWS.names) - set(SCHEMA.names) == {STATUS}
    assert all(field.metadata[b"description"] for field in SCHEMA)


def test_what_a_row_lacks_is_null_and_a_wrong_type_is_found() -> None:
    (row,) = table_of([{"key": "k", "status": "failed"}]).to_pylist()
    assert (row["key"], row["finding"], row["stages"]) == ("k", None, None)
    with pytest.raises((pa.ArrowInvalid, pa.ArrowTypeError)):
        table_of([{"key": "k", "rows": "many"}])
