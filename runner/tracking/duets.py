"""A duet in MLflow: one run, with a point for each round."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from runner.records.duets import DuetFile
from runner.tracking.projection import NAME_LIMIT, TAG_LIMIT, digits, params_of
from runner.tracking.runs import tagged
from runner.tracking.store import Store, explained
from runner.tracking.view import run_link


def publish(store: Store, duet: DuetFile, sentence: str, files: Sequence[Path]) -> str:
    """Create or update the run of a duet, with its `files` attached; its link.

    Raises TrackingUnavailable.
    """
    from mlflow.entities import Metric, RunTag

    identity = {"runner.kind": "duet", "runner.duet": f"{duet.duet_id} {duet.planned_at}"}
    verdict = str(duet.verdict or "not finished")
    tags = {
        "verdict": verdict,
        "mlflow.note.content": sentence[:TAG_LIMIT],
        "host": duet.host,
        "device": duet.device,
        "differs": "; ".join(duet.differs)[:TAG_LIMIT],
    }
    name = f"duet {duet.new.title}: {duet.old.name} -> {duet.new.name}"[:NAME_LIMIT]
    with explained():
        client = store.client
        found = tagged(store, identity)
        if found:
            run_id = str(found[0].info.run_id)
        else:
            made = client.create_run(store.experiment_id, run_name=name, tags=identity)
            run_id = str(made.info.run_id)
            sides = {"old": duet.old, "new": duet.new}
            params: dict[str, object] = {"duet.seed": duet.seed, "duet.margin": duet.margin}
            for role, side in sides.items():
                params |= {f"{role}": side.name, f"{role}.trial": side.title}
                params |= {f"{role}.commit": side.commit} if side.commit else {}
            client.log_batch(run_id, params=params_of(params))
        metrics = []
        for one in duet.rounds:
            at_ms = round(datetime.fromisoformat(one.began_at).timestamp() * 1000)
            figures = {
                "duet/old_ms": one.old_ms,
                "duet/new_ms": one.new_ms,
                "duet/ratio": one.new_ms / one.old_ms,
            }
            metrics += [Metric(key, digits(v), at_ms, one.number) for key, v in figures.items()]
        now_ms = time.time_ns() // 1_000_000
        whole = {"duet/rounds": float(len(duet.rounds))}
        if duet.ratio is not None and duet.ci is not None:
            whole |= {
                "duet/change": duet.ratio - 1,
                "duet/change_lo": duet.ci[0] - 1,
                "duet/change_hi": duet.ci[1] - 1,
            }
        metrics += [Metric(key, value, now_ms, 0) for key, value in whole.items()]
        client.log_batch(
            run_id, metrics=metrics, tags=[RunTag(key, value) for key, value in tags.items()]
        )
        for file in files:
            client.log_artifact(run_id, str(file))
        client.set_terminated(run_id)
    return run_link(store, run_id)
