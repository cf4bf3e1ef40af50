"""The partitions of every asset and check: one per recording, keyed by UUID."""

from __future__ import annotations

import warnings

import dagster as dg

recordings = dg.DynamicPartitionsDefinition(name="recordings")

# Without partitions a check shows only the last recording's result. Dagster calls them a preview: the tested release is
# pinned, and its warning would head every log.
warnings.filterwarnings("ignore", "Specifying a partitions_def on an AssetCheckSpec", dg.PreviewWarning)
