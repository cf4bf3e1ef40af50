"""Index each letter of unspaced scripts as a word, so that full-text search works in them.

Postgres treats an unbroken run of letters as one word, so only whole sentences of Chinese matched. Korean uses spaces
but attaches particles to words.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TSVECTOR

from transcription_dagster.database.tables import SCHEMA

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

#: Thai, Lao, Tibetan, Burmese, Khmer, Chinese, Japanese and Korean, as Postgres' regular expressions write it.
_UNSPACED = (
    r"[\u0e00-\u0fff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\u312f\u3130-\u318f\u3190-\u9fff\ua960-\ua97f"
    r"\uac00-\ud7ff\uf900-\ufaff\uff66-\uffdc\U00020000-\U0003ffff]"
)


def upgrade() -> None:
    """Create the function that separates letters, and rebuild the words of every chunk."""
    # Speech contains no unit separators, so they can be removed again for display.
    op.execute(
        f"""
        CREATE FUNCTION {SCHEMA}.separated(value text) RETURNS text
        LANGUAGE sql IMMUTABLE PARALLEL SAFE
        RETURN regexp_replace(value, '({_UNSPACED})', E'\\x1f\\\\1\\x1f', 'g')
        """
    )
    op.drop_index("transcript_chunks_words", "transcript_chunks", schema=SCHEMA)
    op.drop_column("transcript_chunks", "words", schema=SCHEMA)
    words = f"to_tsvector({SCHEMA}.search_configuration(language), {SCHEMA}.separated(normalize(text, NFKC)))"
    column = sa.Column("words", TSVECTOR(), sa.Computed(words, persisted=True), nullable=False)
    op.add_column("transcript_chunks", column, schema=SCHEMA)
    op.create_index("transcript_chunks_words", "transcript_chunks", ["words"], postgresql_using="gin", schema=SCHEMA)


def downgrade() -> None:
    """Restore the words as Postgres parses them."""
    op.drop_index("transcript_chunks_words", "transcript_chunks", schema=SCHEMA)
    op.drop_column("transcript_chunks", "words", schema=SCHEMA)
    words = f"to_tsvector({SCHEMA}.search_configuration(language), text)"
    column = sa.Column("words", TSVECTOR(), sa.Computed(words, persisted=True), nullable=False)
    op.add_column("transcript_chunks", column, schema=SCHEMA)
    op.create_index("transcript_chunks_words", "transcript_chunks", ["words"], postgresql_using="gin", schema=SCHEMA)
    op.execute(f"DROP FUNCTION {SCHEMA}.separated(text)")
