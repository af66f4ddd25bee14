import json
from dataclasses import dataclass

import pytest

from keras_spp.util.report import Columns, Rows


@dataclass(frozen=True)
class Row:
    name: str
    size: int


@dataclass(frozen=True)
class Report(Rows[Row]):
    entries: tuple[Row, ...]

    def to_dict(self):
        return {"rows": self.rows}

    def __rich__(self):
        table = Columns("[sizes]")
        table.words("name")
        table.numbers("size")
        for row in self.entries:
            table.row(row.name, str(row.size))
        return table


def test_a_report_is_the_sequence_of_its_entries_a_table_and_plain_data():
    rows = Row("a", 1), Row("b", 20)
    report = Report(rows)
    assert list(report) == list(rows) and len(report) == 2
    assert report[-1] == rows[1] and report[:1] == rows[:1] and rows[0] in report
    assert json.loads(json.dumps(report.to_dict()))["rows"] == report.rows == [
        {"name": "a", "size": 1}, {"name": "b", "size": 20},
    ]  # fmt: skip
    title, _, head, _, *lines = str(report).splitlines()
    assert title.strip() == "[sizes]" and head.split() == ["name", "size"]
    assert [line.split() for line in lines if line] == [["a", "1"], ["b", "20"]]
    assert all(line == line.rstrip() for line in str(report).splitlines())


def test_a_table_fits_80_columns_without_cutting_anything():
    name, size = "[block]/" + "layer" * 30, 123_456_789_012
    text = str(Report((Row(name, size),)))
    assert all(len(line) <= 80 for line in text.splitlines())
    assert str(size) in text and name in "".join(text.replace(str(size), "").split())


def test_a_report_without_a_table_cannot_be_made():
    class Bare(Rows[Row]):
        def to_dict(self):
            return {}

    with pytest.raises(TypeError, match="__rich__"):
        Bare()
