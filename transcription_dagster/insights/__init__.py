"""Languages, key phrases, entities and sentiment of a text.

`analyser` chooses Comprehend (`comprehend`) or local libraries (`local`), and analyses each language of a text
separately. `findings` holds the results, and each speaker's share of the talk.
"""
