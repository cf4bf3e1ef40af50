"""The reading room: the archive as a list and a search, and a page for each recording."""
