"""Automation conditions: refresh assets whose code changed, or whose upstream assets were refreshed."""

from __future__ import annotations

import dagster as dg

#: For assets that are cheap to make from a transcript. Skips recordings without the asset and recordings in progress.
REFRESH = (
    (
        # Dagster types the first condition for assets only and the second for checks too, but accepts both together.
        dg.AutomationCondition.code_version_changed().since_last_handled()  # type: ignore[attr-defined]
        | dg.AutomationCondition.any_deps_match(dg.AutomationCondition.will_be_requested())
    )
    & ~dg.AutomationCondition.missing()
    & ~dg.AutomationCondition.in_progress()
).with_label("its code version changed, or an upstream asset is refreshed")

#: For assets that recordings of earlier versions lack: they are added if all of their inputs exist.
REFRESH_OR_ADD = (
    REFRESH
    | (
        dg.AutomationCondition.missing()
        # Most recordings have no corrections.
        & ~dg.AutomationCondition.any_deps_missing().ignore(dg.AssetSelection.assets("corrections"))
        & ~dg.AutomationCondition.in_progress()
    )
).with_label("its code version changed, an upstream asset is refreshed, or it is missing although its inputs exist")

refresh_stale = dg.AutomationConditionSensorDefinition(
    "refresh_stale",
    target=dg.AssetSelection.all(),
    # New recordings have priority.
    run_tags={"dagster/priority": "-1"},
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Refreshes captions, refined texts, embeddings, insights and publications when a new version of the "
    "program, or another model, would change them; no recording is transcribed again. It is off by "
    "default, because refining a whole archive again costs money: switch it on before such a change, "
    "which it then notices. Without it, stale assets can be backfilled by hand.",
)
