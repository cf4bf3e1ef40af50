"""A transcript as a Word document (DOCX)."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

#: Characters that XML does not allow.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Paragraph:
    """One turn; `clock` is its start as text."""

    speaker: str | None
    clock: str
    text: str


def write_word_document(title: str, facts: Sequence[str], paragraphs: Iterable[Paragraph]) -> bytes:
    """Write a document: the title, a line of facts, and a paragraph for each turn, with its speaker and time."""
    # Imported with the first document: it takes 8 MB of a web server's memory.
    from docx import Document

    document = Document()
    document.core_properties.title = _clean(title)[:255]
    document.core_properties.author = ""
    document.add_heading(_clean(title), level=1)
    if facts:
        _grey(document.add_paragraph().add_run(_clean(" · ".join(facts))))
    for paragraph in paragraphs:
        added = document.add_paragraph()
        if paragraph.speaker:
            added.add_run(_clean(f"{paragraph.speaker}  ")).bold = True
        _grey(added.add_run(f"{paragraph.clock}\n"))
        added.add_run(_clean(paragraph.text))
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def _grey(run: object) -> None:
    from docx.shared import Pt, RGBColor

    run.font.size = Pt(9)  # type: ignore[attr-defined]
    run.font.color.rgb = RGBColor(0x6B, 0x72, 0x80)  # type: ignore[attr-defined]


def _clean(text: str) -> str:
    return _CONTROL.sub("", text)
