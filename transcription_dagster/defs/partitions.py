"""The partitions of every asset: one for each recording, keyed by its UUID."""

from __future__ import annotations

import dagster as dg

recordings = dg.DynamicPartitionsDefinition(name="recordings")
