"""Where people look: the saved view of a sweep, its link and the command for the UI."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from runner.tracking.store import Store, TrackingUnavailable, explained

COLUMNS = {  # of the run table, from left to right -> width in pixels
    "metrics.`lat_ms/p50`": 105,
    "metrics.`lat_ms/mean`": 95,
    "metrics.`thr/fps`": 85,
    "tags.`verdict`": 80,
    "tags.`reasons`": 150,
    "params.`model`": 140,
    "params.`input.size`": 90,
    "params.`input.batch_size`": 120,
    "params.`timing.method`": 115,
    "params.`timing.warmup`": 115,
    "tags.`status`": 90,
}
VIEW_TAG = "mlflow.sharedViewState."  # of the experiment; the UI's own, in no documentation


def save_view(store: Store, sweep_id: str, title: str) -> None:
    """Save the sweep's trials under "Views" in the UI, fastest first and with columns.

    The format is internal to MLflow, read off the UI of 3.17.2. The state stands at the top
    as well: the format from before views had names, which 3.17.2 still reads.
    """
    _save(store, sweep_id, f"{title} {sweep_id}", _trials_of(sweep_id))


def save_curves_view(store: Store, sweep_id: str, axis: str) -> None:
    """Likewise, the lines of a sweep along an axis."""
    name = f"over {axis} {sweep_id}"
    _save(store, _curves_key(sweep_id, axis), name, _curves_of(sweep_id, axis))


def _save(store: Store, key: str, name: str, query: str) -> None:
    now_ms = time.time_ns() // 1_000_000
    state = {
        "searchFilter": query,
        "orderByKey": "metrics.`lat_ms/p50`",
        "orderByAsc": True,
        "selectedColumns": list(COLUMNS),
        "columnOrder": list(COLUMNS),
        "columnWidths": COLUMNS,
        "runsHiddenMode": "SHOW_ALL",  # charts show the first 10 runs otherwise
    }
    view = {
        "name": name,
        "createdAt": now_ms,
        "updatedAt": now_ms,
        "state": json.dumps(state),
    }
    with explained():
        store.client.set_experiment_tag(
            store.experiment_id, VIEW_TAG + key, json.dumps(view | state)
        )


def _has_view(store: Store, key: str) -> bool:
    with suppress(TrackingUnavailable), explained():
        return VIEW_TAG + key in store.client.get_experiment(store.experiment_id).tags
    return False


def _trials_of(sweep_id: str) -> str:
    return (
        f'tags.`runner.kind` = "trial" and tags.`runner.sweep` = "{sweep_id}" '
        'and tags.verdict != "invalid"'  # no rank for a number that is wrong
    )


def ui_command(store: Store) -> str | None:
    """The command that opens the store in a browser; None where a server shows it already."""
    if store.uri.startswith(("http://", "https://")):
        return None
    beside = Path(sys.executable).with_name("mlflow")
    python = shlex.quote(sys.executable)
    mlflow = "mlflow" if shutil.which("mlflow") == str(beside) else f"{python} -m mlflow"
    from runner.host.secrets import redact

    uri = store.uri.replace(f"{Path.cwd()}/", "") if store.embedded else redact(store.uri)
    return f"{mlflow} ui --backend-store-uri {shlex.quote(uri)}"


def curves_link(store: Store, sweep_id: str, axis: str) -> str:
    """The page on which MLflow draws the lines of a sweep along an axis, over each other.

    Without an order by a metric they would hide below the sweep's own run.
    """
    if _has_view(store, key := _curves_key(sweep_id, axis)):
        return f"{_page(store)}&viewStateShareKey={quote(key, safe='')}&compareRunsMode=CHART"
    return (
        f"{_page(store)}&searchFilter={quote(_curves_of(sweep_id, axis), safe='')}"
        "&orderByKey=metrics.%60lat_ms/p50%60&orderByAsc=true&compareRunsMode=CHART"
    )


def _curves_key(sweep_id: str, axis: str) -> str:
    return f"{sweep_id}-over-{axis}"


def _curves_of(sweep_id: str, axis: str) -> str:
    return (
        f'tags.`runner.kind` = "curve" and tags.`runner.sweep` = "{sweep_id}" '
        f'and tags.`runner.axis` = "{axis}"'
    )


def _page(store: Store) -> str:
    """The experiment's runs, in the store's server or in one that the command of the UI starts."""
    from runner.host.secrets import redact

    server = store.uri.rstrip("/") if ui_command(store) is None else "http://127.0.0.1:5000"
    page = f"{server}/#/experiments/{store.experiment_id}/runs"
    return redact(f"{page}?workflowType=machine_learning")


def ui_link(store: Store, sweep_id: str) -> str:
    """The page on which this sweep's trials stand, fastest first.

    By the saved view where there is one: a filter or order in the link would make the UI ignore
    it. Without it the table has no columns, so the charts are opened beside it.
    """
    if _has_view(store, sweep_id):
        shown = f"&viewStateShareKey={quote(sweep_id, safe='')}&compareRunsMode=TABLE"
    else:
        shown = (
            f"&searchFilter={quote(_trials_of(sweep_id), safe='')}"
            "&orderByKey=metrics.%60lat_ms/p50%60&orderByAsc=true&compareRunsMode=CHART"
        )
    return f"{_page(store)}{shown}"
