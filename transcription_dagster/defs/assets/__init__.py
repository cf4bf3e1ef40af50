"""The assets, one thin file per stage.

Two exceptions for Dagster: these modules do not use `from __future__ import annotations`, because Dagster reads the
annotations, and assets that return check results have no return annotation, because Dagster would apply it to every
output.
"""
