"""Weights that make up a model of Whisper."""

from __future__ import annotations

from dataclasses import replace

import pytest
from whisper.model import Whisper

from transcription_dagster.whisper.models.weights import Weights, network
from transcription_dagster_tests.whisper.layouts import SMALL


def test_a_vocabulary_that_whispers_tokenizer_does_not_serve_is_refused():
    dims = replace(SMALL, n_vocab=100)
    with pytest.raises(ValueError, match="vocabulary of 100 tokens"):
        network(Weights(dims, Whisper(dims).state_dict()))
