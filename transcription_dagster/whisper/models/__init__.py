"""Whisper's weights, in every layout in which they are published."""
