"""The assets, one thin file a stage.

Two things here are as Dagster wants them: these modules do without `from __future__ import annotations`, because it
reads the annotations themselves, and an asset that brings check results along has no return annotation, because it
would take one for the type of every output.
"""
