"""Search by words and meaning.

`chunks` cuts captions into passages, `embedder` turns these into vectors, `index` stores both in Postgres, and `query`
finds them (`query_words` treats scripts without spaces).
"""
