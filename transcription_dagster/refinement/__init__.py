"""Correcting a transcript with the vocabulary and Claude.

`assembly` prepares a transcript (`text_windows`, `prompt`), and combines the answers: edits that `edits` validates by
`edit_rules`, composed in `edit_anchors`. Claude (`claude`, with requests and replies in `messages`) is asked window by
window (`direct`), or at half the price in Message Batches (`message_batches/`). `accounts` decides what may be spent;
`account_store` and `answer_store` keep money and paid replies. `results` holds the settings and the result.
"""
