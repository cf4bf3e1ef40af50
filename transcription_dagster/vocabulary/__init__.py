"""Terms of a vocabulary.

`files` reads and writes them, `prompts` makes Whisper's prompt and Claude's glossary of them, and `variants` corrects
words that are listed as a variant of one term.
"""
