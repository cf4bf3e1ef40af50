"""Text in any language and script, without knowledge of recordings.

`tokenization` splits a text into words, `alignment` compares two wordings word by word, `spelling` two words, and
`common_words` knows how common a word is. `boundaries` rates where a text may break, by the rules in `writing_rules`;
`sentences` cuts texts into sentences and pieces. `codes` maps names and tags of languages to Whisper's codes.
"""
