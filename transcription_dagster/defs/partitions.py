"""The partitions of every asset and check: one for each recording, keyed by its UUID."""

from __future__ import annotations

import warnings

import dagster as dg

recordings = dg.DynamicPartitionsDefinition(name="recordings")

# Without partitions a check shows what came of the last recording alone. Dagster calls them a preview; setup.py pins
# the release that they were tested with, and the warning would stand at the head of every log.
warnings.filterwarnings("ignore", "Specifying a partitions_def on an AssetCheckSpec", dg.PreviewWarning)
