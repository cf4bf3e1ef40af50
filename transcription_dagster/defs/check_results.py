"""Convert findings into results of asset checks."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from transcription_dagster.captions.quality import Finding, Severity
from transcription_dagster.defs.previews import table


def check_result(check: str, asset: str, findings: Sequence[Finding]) -> dg.AssetCheckResult:
    """Return a passed check without findings; otherwise a failed one with the worst severity and all places."""
    errors = sum(finding.severity is Severity.ERROR for finding in findings)
    places = [(finding.kind, f"{finding.place:g}", finding.message) for finding in findings]
    return dg.AssetCheckResult(
        passed=not findings,
        check_name=check,
        asset_key=asset,
        severity=dg.AssetCheckSeverity.ERROR if errors else dg.AssetCheckSeverity.WARN,
        metadata={
            "findings": len(findings),
            "errors": errors,
            **({"places": dg.MetadataValue.md(table(("kind", "place", "what"), places))} if findings else {}),
        },
    )
