"""Personal data in a transcript: detected in its words, removed from its text and audio.

`detectors` chooses among our patterns (`patterns`, with `numbers`, `number_words` and `spoken_addresses`), Presidio
(`presidio`) and Comprehend, and combines what they find (`entities`). `removal` removes it and verifies that nothing
remains.
"""
