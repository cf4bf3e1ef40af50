"""The speech engine.

`engine` transcribes a recording block by block, `recordings` a file or a recording with several channels. A block
(`blocks`) goes through several passes (`passes`): the decoding loop (`decoding/`) sends requests to a model, either
openai-whisper's, which decodes many recordings together (`batching/`), or CTranslate2's (`faster_whisper`). The result
is compared with the sound (`voice_activity`) and repaired (`repair/`). `models/` finds, downloads and reads models;
`devices` knows what a device can hold and how it fails.
"""
