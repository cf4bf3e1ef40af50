"""Descriptions of the program's tables for people who query them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql

from transcription_dagster.database.tables import Base


@dataclass(frozen=True, slots=True)
class ColumnDescription:
    """A column, and its type as Postgres writes it."""

    name: str
    description: str | None
    type: str
    nullable: bool


@dataclass(frozen=True, slots=True)
class TableDescription:
    """A table, by its name with the schema."""

    name: str
    columns: Sequence[ColumnDescription]


def describe_table(row: type[Base]) -> TableDescription:
    """Describe the table of a row's class."""
    table = row.__table__
    if not isinstance(table, Table):
        raise TypeError(f"{row.__name__} is not mapped to a table")
    dialect = postgresql.dialect()
    columns = [
        ColumnDescription(column.name, column.doc, column.type.compile(dialect).lower(), bool(column.nullable))
        for column in table.columns
    ]
    return TableDescription(table.fullname, columns)
