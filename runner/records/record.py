"""The record of one trial: everything known about it.

MLflow and every table are projections of records; nothing is rounded here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, Required

from annotated_types import Ge, Len
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from runner.contract import Level, Status, Verdict
from runner.records.reading import LARGEST, FileName, Index, Moment, NotNegative, Number, Of
from runner.trial.description import Trial, folder_of

VERSION: Final = 1
Figure = NotNegative | None


class _Reason(TypedDict, total=False):
    """A finding of the judge; see runner.verdict.flag.Flag."""

    code: Required[str]
    level: Required[Level]
    figure: Number | None
    unit: str
    found: Required[str]
    remedy: str
    need: Number


class _Summary(TypedDict, total=False):
    """The statistics of the samples; see runner.statistics.summary.Summary."""

    __pydantic_config__ = {"extra": "allow"}  # type: ignore[misc]  # noqa: RUF012  # of a later program
    n: int
    inner: Annotated[int, Ge(1)]
    min_ms: Figure
    p25_ms: Figure
    p50_ms: Figure
    p75_ms: Figure
    p90_ms: Figure
    p95_ms: Figure
    p99_ms: Figure
    p999_ms: Figure
    max_ms: Figure
    mean_ms: Figure
    std_ms: Figure
    mad_ms: Figure
    cv: Figure
    tau: Number
    outliers: int
    first_ms: Number
    cold_start_ms: Number
    fps: Figure
    img_s: Figure
    ci_ms: dict[str, Annotated[list[Number], Len(2, 2)] | None]
    why_null: dict[str, str]


class _Error(TypedDict, total=False):
    """Why a trial did not complete; `where` is the line of the user's code that raised it."""

    __pydantic_config__ = {"extra": "allow"}  # type: ignore[misc]  # noqa: RUF012
    type: Required[str]
    message: Required[str]
    trace: str
    where: str


class _Contention(TypedDict, total=False):
    """Measured contention on the CPU and the GPU."""

    cpu: dict[str, Any] | None
    gpu: dict[str, Any] | None


Reason = Annotated[dict[str, Any], Of(_Reason)]


@dataclass(frozen=True)
class Outcome:
    """The outcome of a trial's process; milliseconds in run order.

    `figures` has other measured numbers (hidden_device_ms, build_s, ...), `series`
    other lists, `effective` the settings that were really in force, `contention` the measured
    contention, `error` type, message and traceback, `why_null` the reason for
    whatever could not be read after the last sample.
    """

    status: Status
    warmup_ms: tuple[float, ...] = ()
    latency_ms: tuple[float, ...] = ()
    figures: dict[str, float | None] = field(default_factory=dict)
    series: dict[str, list[float]] = field(default_factory=dict)
    effective: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    contention: dict[str, Any] | None = None
    error: dict[str, str] | None = None
    why_null: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """One process of a trial. `trial` has every default filled in and its secrets redacted.

    `key` is that of the trial with its secrets; records are matched by it alone.
    `trial_title` is the title without the number of the process.
    `order_seed` decided the order of the trials within each round; null without rounds.
    `why_null` has the reason for each null without a reason beside it, by dotted name.
    `key_rule` is the version of the rule that made `key`; 0 before there was one. `series` are
    lists in run order, `figures` single numbers.
    """

    sweep_id: str
    key: FileName
    repeat: Index
    title: str
    trial: Trial
    status: Status
    verdict: Verdict | None
    reasons: list[Reason]
    effective: dict[str, Any]
    warmup_ms: list[Number]
    latency_ms: list[Number]
    series: dict[str, list[Number]]
    summary: Annotated[dict[str, Any], Of(_Summary)]
    environment: dict[str, Any]
    contention: Annotated[dict[str, Any], Of(_Contention)] | None
    started_at: Moment
    ended_at: Moment
    error: Annotated[dict[str, str], Of(_Error)] | None
    figures: dict[str, Number | None] = field(default_factory=dict)
    order_seed: int | None = None
    why_null: dict[str, str] = field(default_factory=dict)
    key_rule: int = 0
    trial_title: str = ""
    version: Literal[1] = VERSION

    @property
    def identity(self) -> str:
        """The identity that all processes of a trial on a device share."""
        return folder_of(self.key, self.trial.device)

    @property
    def folder(self) -> str:
        """The name of its folder inside that of its sweep."""
        return folder_of(self.key, self.trial.device, self.repeat)

    @property
    def completed(self) -> bool:
        """Whether the trial completed."""
        return self.status == Status.COMPLETED

    @property
    def outcome(self) -> Outcome:
        """The outcome of its process."""
        return Outcome(
            self.status,
            tuple(self.warmup_ms),
            tuple(self.latency_ms),
            self.figures,
            self.series,
            self.effective,
            self.environment,
            self.contention,
            self.error,
            {name: why for name, why in self.why_null.items() if name != "verdict"},
        )

    @property
    def cause(self) -> str:
        """Why it did not complete: `failed: net.py:12 in forward: ValueError: no such size`."""
        error = self.error or {"type": "no error", "message": ""}
        where = f"{error['where']}: " if error.get("where") else ""
        return f"{self.status}: {where}{error['type']}: {error['message'] or 'no message'}"

    def half_width(self, figure: str = "p50") -> float | None:
        """Half of a figure's 95 % interval, as a share of it; None without an interval."""
        value, bounds = (
            self.summary.get(f"{figure}_ms"),
            self.summary.get("ci_ms", {}).get(figure),
        )
        return None if not value or bounds is None else float(bounds[1] - bounds[0]) / 2 / value

    @property
    def typical_ms(self) -> float | None:
        """The time of a pass by which trials are compared: above 0, or None.

        The median; the mean if samples are means already; from throughput for pipelined passes.
        """
        summary = self.summary
        ms: float | None = summary.get("p50_ms" if summary.get("inner", 1) == 1 else "mean_ms")
        if rate := summary.get("img_s"):
            ms = 1000 * self.trial.input.batch_size / float(rate)
        return ms if ms and ms <= LARGEST else None

    @property
    def unfit(self) -> str | None:
        """Why it can't be compared with others; None if it can."""
        if not self.completed:
            return self.cause
        if self.verdict == Verdict.INVALID:
            codes = [reason["code"] for reason in self.reasons if reason["level"] == Level.INVALID]
            return " ".join(["invalid:", *codes])
        return None if self.typical_ms else "it has no time to compare by"

    @property
    def images_per_second(self) -> float | None:
        """Measured throughput, else closed-loop FPS."""
        return self.summary.get("img_s") or self.summary.get("fps")

    @property
    def tflop_s(self) -> float | None:
        """10^12 floating operations a second, by the operations of a pass and its typical time."""
        gflop, ms = self.figures.get("gflop"), self.typical_ms
        return None if not gflop or not ms else gflop / ms

    @property
    def headline(self) -> str:
        """The main figures: `p50 12.34 ms +-0.5%, 81.03 FPS`."""
        summary = self.summary
        if not summary:
            return f"{len(self.latency_ms)} samples"
        if summary.get("img_s") is not None:
            return f"{summary['img_s']:.2f} images/s"
        if self.trial.load.name == "server":
            return self._served
        name = "p50" if summary.get("p50_ms") is not None else "mean"
        if summary.get(f"{name}_ms") is None:
            return f"{len(self.latency_ms)} samples"
        text = f"{name} {summary[f'{name}_ms']:.4g} ms"
        if (width := self.half_width(name)) is not None:
            text += f" +-{width:.1%}"
        return text if summary.get("fps") is None else f"{text}, {summary['fps']:.2f} FPS"

    @property
    def _served(self) -> str:
        """The main figures of a service: `p50 24.1, p99 66.2 ms, 19.8 answered/s, target met`."""
        tails = {name: self.summary.get(f"{name}_ms") for name in ("p50", "p90", "p99")}
        known = [f"{name} {ms:.4g}" for name, ms in tails.items() if ms is not None]
        rate, target = self.figures.get("answered_qps"), self.effective.get("target")
        text = f"{', '.join(known)} ms" + (f", {rate:.4g} answered/s" if rate else "")
        return f"{text}, target {target}" if target else text


def sentence(reason: dict[str, Any]) -> str:
    """A reason as a sentence: what was found and what to do."""
    return "; ".join(filter(None, (reason["found"], reason.get("remedy"))))


def utc_now() -> str:
    """The current time, as ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
