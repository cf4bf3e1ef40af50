"""People's corrections of a transcript.

`changes` are what people did, stored in the `journal` and made by `drafts` from what they ask for (`differences` finds
the smallest change). `reading` is the text after all changes, `manuscript` one recording's text with its journal.
`carrying` repeats changes on a new transcription, and `suggestions` proposes vocabulary from them.
"""
