"""Transcripts: read, written, repaired and laid out.

`amazon_json` reads and writes the JSON document, whose parts `amazon_layout` describes; `amazon_speakers` reads and
writes its channels and speakers, and `amazon_jobs` knows other documents of Amazon's. `word_timing` repairs times, and
`word_languages` counts languages. `channels` merges a recording's channels, `turn_order` sorts words spoken at once,
and `conversation` gives words their speakers. `word_edits` changes words and keeps their times. `plain_text` makes
paragraphs, and `reading` is what a page shows.
"""
