"""The saved views of a sweep, their links, and the command for the UI."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from runner.contract import TrackingUnavailable
from runner.tracking.store import Store, explained

COLUMNS = {  # of the run table, from left to right -> width in pixels
    "metrics.`lat_ms/p50`": 85,
    "metrics.`thr/fps`": 80,
    "tags.`verdict`": 75,
    "tags.`reasons`": 150,
}
DETAILS = {
    "metrics.`lat_ms/mean`": 95,
    "tags.`status`": 90,
    "tags.`host`": 110,
}
PARAMS = ("model", "input.size", "input.batch_size", "timing.method", "timing.warmup")
LETTER_WIDTH = 6  # pixels, in a column's head
VIEW_TAG = "mlflow.sharedViewState."  # tag of the experiment, internal to the UI
CREATED_AT = re.compile(r'"createdAt": ?(\d+)')
MAX_VIEWS = 50  # of ours in an experiment, because the UI loads all; older ones are deleted
OURS = {"savedBy": "runner"}  # first in a view; distinguishes it from those of people


def save_view(
    store: Store,
    sweep_id: str,
    title: str,
    params: Sequence[str] = PARAMS,
    costed: bool = False,
    kind: str = "trial",
) -> None:
    """Save the sweep's trials under "Views" in the UI: fastest first, with columns and charts.

    `params` are those in which they differ; `costed`: they have FLOPs. `kind` is result where the
    trials have several processes, whose runs are nested below.
    """
    charts = [_chart("PARALLEL", selectedParams=list(params[:6]), selectedMetrics=["lat_ms/p50"])]
    if not params:
        charts = []
    charts += [_chart("BAR", name) for name in ("lat_ms/p50", "thr/fps")]
    if costed:
        x, y = ({"key": name, "type": "METRIC"} for name in ("cost/gflop", "lat_ms/p50"))
        charts.append(_chart("SCATTER", xaxis=x, yaxis=y))
    columns = {
        f"params.`{name}`": 140 if name == "model" else 30 + LETTER_WIDTH * len(name)
        for name in params
    }
    _save(
        store,
        sweep_id,
        f"{title} {sweep_id}",
        _trials_of(sweep_id, kind),
        COLUMNS | columns | DETAILS,
        {"sweep": charts},
    )


def save_curves_view(
    store: Store,
    sweep_id: str,
    axis: str,
    metrics: Sequence[str] = ("lat_ms/p50", "thr/fps"),
    title: str | None = None,
) -> None:
    """Likewise the lines of a sweep along an axis, with a wide chart for each metric."""
    charts = {
        metric.partition("/")[0]: [_chart("LINE", metric, lineSmoothness=0)] for metric in metrics
    }
    name = title or f"over {axis} {sweep_id}"
    query = _curves_of(sweep_id, axis)
    _save(store, _curves_key(sweep_id, axis), name, query, COLUMNS, charts)


def _chart(kind: str, metric: str = "", **settings: object) -> dict[str, object]:
    name = {"metricKey": metric, "displayName": metric} if metric else {}
    return {"type": kind, "runsCountToCompare": 100, "deleted": False, **name, **settings}


def _save(
    store: Store,
    key: str,
    name: str,
    query: str,
    columns: Mapping[str, int],
    sections: Mapping[str, Sequence[dict[str, object]]],
) -> None:
    """Save a view in MLflow's internal format, as of the UI of 3.17.2."""
    now_ms = time.time_ns() // 1_000_000
    shown = {"display": True, "isReordered": True, "deleted": False, "isGenerated": False}
    state = {
        "searchFilter": query,
        "orderByKey": "metrics.`lat_ms/p50`",
        "orderByAsc": True,
        "selectedColumns": list(columns),
        "columnOrder": list(columns),
        "columnWidths": columns,
        "runsHiddenMode": "SHOW_ALL",  # charts show the first 10 runs otherwise
        "isAccordionReordered": True,  # otherwise these are below the UI's own charts
        "compareRunSections": [
            {"uuid": section, "name": section, "columns": 1, "cardHeight": 420, **shown}
            for section in sections
        ],
        "compareRunCharts": [
            {"uuid": f"{section}{number}", "metricSectionId": section, **chart}
            for section, charts in sections.items()
            for number, chart in enumerate(charts)
        ],
    }
    view = {
        **OURS,
        "name": name,
        "createdAt": now_ms,
        "updatedAt": now_ms,
        "state": json.dumps(state, separators=(",", ":")),
    }
    with explained():
        client = store.client
        client.set_experiment_tag(store.experiment_id, VIEW_TAG + key, json.dumps(view))
        tags = client.get_experiment(store.experiment_id).tags
        begins = json.dumps(OURS).removesuffix("}")
        ours = [tag for tag in tags if tag.startswith(VIEW_TAG) and tags[tag].startswith(begins)]
        for tag in sorted(ours, key=lambda tag: _created_at(tags[tag]))[:-MAX_VIEWS]:
            client.delete_experiment_tag(store.experiment_id, tag)


def _created_at(view: str) -> int:
    """When a view was created; 0, the oldest, for an edited one."""
    found = CREATED_AT.search(view)
    return int(found[1]) if found else 0


def _has_view(store: Store, key: str) -> bool:
    with suppress(TrackingUnavailable), explained():
        return VIEW_TAG + key in store.client.get_experiment(store.experiment_id).tags
    return False


def _trials_of(sweep_id: str, kind: str = "trial") -> str:
    return (
        f'tags.`runner.kind` = "{kind}" and tags.`runner.sweep` = "{sweep_id}" '
        'and tags.verdict != "invalid"'  # wrong numbers are not ranked
    )


def ui_command(store: Store) -> str | None:
    """The command that serves the store; None if it is a server already."""
    if store.uri.startswith(("http://", "https://")):
        return None
    beside = Path(sys.executable).with_name("mlflow")
    python = shlex.quote(sys.executable)
    mlflow = "mlflow" if shutil.which("mlflow") == str(beside) else f"{python} -m mlflow"
    from runner.host.secrets import redact

    uri = (
        store.uri.replace(f"{quote(str(Path.cwd()))}/", "") if store.embedded else redact(store.uri)
    )
    return f"{mlflow} ui --backend-store-uri {shlex.quote(uri)}"


def curves_link(store: Store, sweep_id: str, axis: str) -> str:
    """The page on which MLflow draws the lines of a sweep along an axis.

    Without an order by a metric they would be nested below the sweep's own run.
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
    """The page of the experiment's runs, on the store's server or the UI's default address."""
    from runner.host.secrets import redact

    server = store.uri.rstrip("/") if ui_command(store) is None else "http://127.0.0.1:5000"
    page = f"{server}/#/experiments/{store.experiment_id}/runs"
    return redact(f"{page}?workflowType=machine_learning")


def run_link(store: Store, run_id: str) -> str:
    """The page of one run."""
    page, _, view = _page(store).partition("?")
    return f"{page}/{run_id}?{view}"


def ui_link(store: Store, sweep_id: str) -> str:
    """The page of this sweep's trials, fastest first.

    With the saved view if there is one: a filter or order in the link would make the UI ignore
    it. Without it the table has no columns, so the charts are opened, too.
    """
    if _has_view(store, sweep_id):
        shown = f"&viewStateShareKey={quote(sweep_id, safe='')}"
    else:
        shown = (
            f"&searchFilter={quote(_trials_of(sweep_id), safe='')}"
            "&orderByKey=metrics.%60lat_ms/p50%60&orderByAsc=true&compareRunsMode=CHART"
        )
    return f"{_page(store)}{shown}"
