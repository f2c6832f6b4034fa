"""The columns of the results, and their version."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

SCHEMA_VERSION: Final = "1"
"""Raised when a column changes its name, type or meaning; a new column alone does not raise it."""

_STAGE: Final = pa.struct(
    [
        ("name", pa.string()),
        ("probability", pa.float64()),
        ("threshold", pa.float64()),
        ("operating_point", pa.string()),
        ("positive", pa.bool_()),
    ]
)
_CONCERN: Final = pa.struct([("code", pa.string()), ("severity", pa.string()), ("sentence", pa.string())])
_GATE: Final = pa.struct(
    [("policy", pa.string()), ("overridden", pa.bool_()), ("concerns", pa.list_(_CONCERN))],
)
_TRIAGE: Final = pa.struct([("action", pa.string()), ("reason", pa.string()), ("policy", pa.string())])

_COLUMNS: Final[tuple[tuple[str, pa.DataType, str], ...]] = (
    ("key", pa.string(), "which radiograph it is: 32 hexadecimal digits, a digest of where it lies"),
    ("source", pa.string(), "where it lies: a path, a URL or an instance's address; protect it like the image"),
    ("stamp", pa.string(), "size and time, or entity tag, when it was listed; empty where the source has none"),
    ("shard", pa.string(), "the piece of work that it was screened in, which is the file's name"),
    ("error", pa.string(), "why it failed, one sentence; null where it was screened or refused"),
    ("finding", pa.string(), "the system's answer at its operating points"),
    ("triage_score", pa.float64(), "in [0, 1]; larger is read first"),
    ("stages", pa.list_(_STAGE), "the decisions: probability and threshold in [0, 1]; null where not asked"),
    ("classes", pa.map_(pa.string(), pa.float64()), "scores of classes that exclude each other, sum 1; may be empty"),
    ("triage", _TRIAGE, "a suggestion for the order of work, no treatment advice"),
    ("gate", _GATE, "the gate's policy, its concerns by code, and whether a refusal was overridden"),
    ("quality", pa.string(), "'limited' where a warning touches the trust in the result"),
    ("warnings", pa.list_(pa.string()), "sentences for the reader"),
    ("lung_area_fraction", pa.float64(), "share of the image covered by lung, in [0, 1]"),
    ("rows", pa.int32(), "the image's rows"),
    ("columns", pa.int32(), "the image's columns"),
    ("bundle", pa.string(), "name@version of the model bundle"),
    ("engine", pa.string(), "what computed the networks, and its arithmetic"),
    ("software", pa.string(), "version of cxrscreen"),
    ("seconds", pa.float64(), "time spent on it: reading, screening, writing pictures"),
    ("timings", pa.map_(pa.string(), pa.float64()), "the same time by step, in seconds"),
)

STATUS: Final = "status"
"""The partition: ``screened``, ``refused`` or ``failed``."""

SCHEMA: Final = pa.schema(
    [pa.field(name, kind, metadata={"description": text}) for name, kind, text in _COLUMNS],
    metadata={"cxrscreen.schema": SCHEMA_VERSION},
)
"""What a results file holds. Its status is the name of its folder."""

ROWS: Final = SCHEMA.append(pa.field(STATUS, pa.string()))
"""What a worker gives: the same, with the status as a column."""


def table_of(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Put rows into a table of :data:`ROWS`; a key that a row lacks is null.

    Raises
    ------
    pyarrow.ArrowInvalid
        If a value is not of its column's type.
    """
    return pa.Table.from_pylist(list(rows), schema=ROWS)
