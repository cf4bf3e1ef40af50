"""Diarization: who speaks when.

`engine` opens a diarizer (`diarizer`): the built-in one (`built_in`) or a pipeline of pyannote.audio
(`pyannote_pipeline`). The built-in diarizer segments windows (`segmentation`), embeds the voices in them (`voices`,
`campplus`), clusters these by speaker (`clustering`) and combines the windows to turns (`turns`).
"""
