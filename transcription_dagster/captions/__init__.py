"""Captions: made from timed words, read from files, and corrected.

`cues` cuts words into cues: `segmentation` decides where each ends, by the limits and line breaks of `layout`, and
`songs` keeps the notes of songs at their words. `subtitles` reads and writes SRT and WebVTT: `encodings` finds a file's
encoding, `markup` and `marks` tell its spoken words from tags and notes. `cue_corrections` applies a corrected text to
cues, `file_corrections` to a file, and `quality` checks the results.
"""
