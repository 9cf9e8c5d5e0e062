"""`csv`: rows of cells, as RFC 4180 has them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from typing import Any

from flowrt.errors import NodeFault
from flowrt.formats.base import Around, DocumentCodec
from flowrt.formats.options import CsvOptions
from flowrt.transforms.documents import encode as encode_json

_INT = re.compile(r"[+-]?\d{1,18}")
_FLOAT = re.compile(r"[+-]?(\d+\.\d*|\.?\d+)([eE][+-]?\d{1,3})?")
_WORDS: dict[str, bool | None] = {"": None, "true": True, "false": False}


class CsvCodec(DocumentCodec):
    """CSV at work."""

    def __init__(self, options: CsvOptions, around: Around) -> None:
        super().__init__(options, around, "text/csv")
        self._options = options

    def load(self, payload: bytes) -> Sequence[Any]:
        try:
            text = str(payload, "utf-8-sig")
        except UnicodeDecodeError as error:
            raise NodeFault("format", f"the payload is not CSV: it is not UTF-8, from byte {error.start} on") from None
        documents = self._documents(text)
        return [list(documents)] if self._options.rows == "array" else list(documents)

    def _documents(self, text: str) -> Iterator[dict[str, Any]]:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=self._options.delimiter, strict=True)
        columns: Sequence[str] = self._options.columns
        header = self._options.header
        try:
            for row in rows:
                if not row:
                    continue
                if header:
                    header, columns = False, columns or row
                    if len(set(columns)) < len(columns):
                        raise NodeFault("format", "the header names a column twice")
                    continue
                columns = columns or [str(number) for number in range(1, len(row) + 1)]
                if len(row) != len(columns):
                    words = f"line {rows.line_num} has {len(row)} cells, and there are {len(columns)} columns"
                    raise NodeFault("format", words)
                cells = map(_read, row) if self._options.numbers else row
                yield dict(zip(columns, cells, strict=True))
        except csv.Error as error:
            raise NodeFault("format", f"the payload is not CSV: {error}, in line {rows.line_num}") from None

    def dump(self, document: Any) -> bytes:
        documents = document if type(document) is list else [document]
        if not all(type(each) is dict for each in documents):
            raise NodeFault("format", "CSV is written of an object or an array of objects")
        columns = self._options.columns or (list(documents[0]) if documents else [])
        out = io.StringIO(newline="")
        writer = csv.writer(out, delimiter=self._options.delimiter, lineterminator="\r\n")
        try:
            if self._options.header:
                writer.writerow(columns)
            writer.writerows([_written(each.get(column)) for column in columns] for each in documents)
            return out.getvalue().encode()
        except (csv.Error, UnicodeEncodeError) as error:
            raise NodeFault("format", f"the document cannot be written as CSV: {error}") from None


def _read(cell: str) -> Any:
    if cell in _WORDS:
        return _WORDS[cell]
    if _INT.fullmatch(cell):
        return int(cell)
    if _FLOAT.fullmatch(cell) and len(cell) < 64:
        number = float(cell)
        return number if abs(number) != float("inf") else cell
    return cell


def _written(value: Any) -> Any:
    if type(value) in (dict, list):
        return encode_json(value).decode()
    return {None: "", True: "true", False: "false"}[value] if value is None or type(value) is bool else value
