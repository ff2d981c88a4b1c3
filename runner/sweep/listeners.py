"""The listeners of a sweep: the progress line and MLflow."""

from __future__ import annotations

import os
from collections.abc import Sequence

from runner.records.capacities import batches_of
from runner.records.manifest import Planned
from runner.records.record import Record
from runner.records.store import LOG, RECORD
from runner.sweep.folder import Start, grown
from runner.sweep.plan import Plan
from runner.terminal.lines import Lines
from runner.terminal.progress import SweepProgress
from runner.tracking.catch_up import Target
from runner.tracking.publisher import Publisher


class Listeners:
    """Collects the `records` by folder, shows each and publishes it."""

    def __init__(self, plan: Plan, start: Start, left: Sequence[str], lines: Lines) -> None:
        self.manifest, self.records = start.manifest, dict(start.records)
        self.progress = SweepProgress(
            lines, left, list(start.records.values()), verbose=plan.settings.verbose
        )
        self.publisher = _publisher(plan, start, lines)
        self._sweep_dir = plan.settings.sweep_dir
        self.search = plan.search
        self._opened = False

    def grow(self, planned: Sequence[Planned]) -> None:
        """A search has planned its next trials; none if it has ended."""
        self.manifest = grown(self.manifest, planned, self._sweep_dir)
        self.progress.more([one.key for one in planned])

    def open(self) -> None:
        """Open MLflow once; records that earlier starts could not publish follow at the end."""
        if self.publisher is not None and not self._opened:
            self._opened = True
            self.publisher.open()
            for folder, record in self.records.items():
                self.publisher.publish_later(record, self._sweep_dir / folder / RECORD)

    def ended(self, record: Record) -> None:
        """Publish and show a record that is on disk."""
        self.records[record.folder] = record
        folder = self._sweep_dir / record.folder
        if self.publisher is not None:
            self.publisher.publish(record, folder / RECORD)
        self.progress.done(record, folder / LOG)

    @property
    def in_order(self) -> list[Record]:
        """The records so far, in the order of the plan."""
        order = [planned.folder for planned in self.manifest.trials]
        return [self.records[folder] for folder in order if folder in self.records]

    @property
    def complete(self) -> bool:
        """Whether all planned trials have a verdict."""
        done = [record for record in self.records.values() if record.completed and record.verdict]
        if self.search is not None and self.search.kind == "max_batch":  # one of them must not fit
            done += [one for some in batches_of(self.in_order) for one in some.too_large]
        return len(done) == len(self.manifest.trials)


def _publisher(plan: Plan, start: Start, lines: Lines) -> Publisher | None:
    settings = plan.settings
    if settings.tracking.kind == "off":
        return None
    if settings.tracking.kind == "sqlite" and os.environ.get("MLFLOW_TRACKING_URI"):
        lines.print(
            "warning: MLFLOW_TRACKING_URI is set, but tracking=sqlite; tracking=server uses it"
        )
    return Publisher(
        Target(settings.tracking.uri, settings.tracking.experiment, settings.output_dir),
        sweep_id=settings.sweep_id,
        name=settings.name,
        title=plan.title,
        # a search has several, even if it begins with one
        trials=max(len(start.manifest.trials), 2 if plan.search else 1),
        resumed=start.resumed,
        print_line=lines.print,
    )
