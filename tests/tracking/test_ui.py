"""MLflow's own pages, in a real browser: what a person must see after 2, 8 and 60 trials."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from fakes.browser import browser
from fakes.server import Server
from fakes.trials import make_trial, timed, write_sweep

from runner.pages import report
from runner.records.store import RECORD
from runner.tracking.catch_up import Target
from runner.tracking.publisher import Publisher

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
SOON_MS = 60_000  # for what the page still loads, on a busy machine
MODELS = ("alexnet", "mobilenet_v3_small", "resnet18", "resnet50", "vgg11")
SWEEPS = {  # models, sizes, batches
    "two": (MODELS[:2], (640,), (1,)),
    "eight": (MODELS[:2], (224, 320, 448, 640), (1,)),
    "sixty": (MODELS, (224, 320, 448, 640), (1, 4, 16)),
}


def publish(output_dir, uri, sweep_id: str) -> list[str]:
    """Bring a sweep of made-up times to MLflow as the program does; the lines it closes with."""
    models, sizes, batches = SWEEPS[sweep_id]
    records = [
        replace(
            timed(
                make_trial(model={"name": name}, input={"size": (size, size), "batch_size": batch}),
                2.0 * (number + 1) * (size / 224) ** 1.8 * batch**0.8,
                figures={"gflop": (number + 1) * batch * (size / 224) ** 2},
            ),
            sweep_id=sweep_id,
        )
        for number, name in enumerate(models)
        for size in sizes
        for batch in batches
    ]
    folder = write_sweep(output_dir, sweep_id, records)
    report.write(records, folder)
    publisher = Publisher(
        Target(uri, "runner", output_dir),
        sweep_id=sweep_id, name=None, title=sweep_id, trials=len(records), print_line=print,
    )  # fmt: skip
    publisher.open()
    for record in records:
        publisher.publish(record, folder / record.trial.folder / RECORD)
    publisher.close("FINISHED", records)
    return list(publisher.closing_lines(0))


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    """What the program says at the end of each sweep, while a server shows them."""
    folder = tmp_path_factory.mktemp("ui")
    server = Server(folder / "server")
    server.start()
    yield {name: publish(folder / "outputs", server.uri, name) for name in SWEEPS}
    server.stop()


@pytest.fixture(scope="module")
def chromium():
    with browser() as opened:
        yield opened


@pytest.fixture
def opened(chromium, lines, tmp_path):
    """Opens the link that a closing line ends with; its page, with a picture kept at the end."""
    pages = []

    def open_link(sweep_id: str, about: str = "viewStateShareKey"):
        line = next(line for line in lines[sweep_id] if about in line)
        page = chromium.new_page(viewport={"width": 1500, "height": 950})
        pages.append(page)
        page.goto(line.split()[-1])
        return page

    yield open_link
    for number, page in enumerate(pages):
        page.screenshot(path=tmp_path / f"{number}.png")
        page.close()


@pytest.mark.parametrize(("sweep_id", "count"), [("two", 2), ("eight", 8), ("sixty", 60)])
def test_the_link_shows_the_trials_fastest_first_with_what_differs(opened, sweep_id, count):
    page = opened(sweep_id)
    page.get_by_text(f"{count} matching runs").wait_for(timeout=SOON_MS)
    named = ("lat_ms/p50", "thr/fps", "verdict", "model")
    heads = [page.locator(f'[role="columnheader"][col-id*="{name}"]').last for name in named]
    places = [head.bounding_box()["x"] for head in heads]
    assert places == sorted(places)
    sizes = page.locator('[role="columnheader"][col-id*="input.size"]').count()
    assert bool(sizes) == (sweep_id != "two")  # the same in all trials there
    cells = page.locator('[role="gridcell"][col-id*="lat_ms/p50"]').all_inner_texts()
    times = [float(cell) for cell in cells]
    assert len(times) >= 2
    assert times == sorted(times)
    assert all(len(re.sub(r"^0*|\D", "", cell)) <= 4 for cell in cells)  # digits that count


@pytest.mark.parametrize(
    ("sweep_id", "axis", "count"),
    [("eight", "input.size", 2), ("sixty", "input.size", 15), ("sixty", "input.batch_size", 20)],
)
def test_the_lines_of_all_models_lie_over_each_other_in_one_chart(opened, sweep_id, axis, count):
    page = opened(sweep_id, f"over {axis}")
    page.get_by_text(f"{count} matching runs").wait_for(timeout=SOON_MS)
    chart = page.locator(".js-plotly-plot").first
    chart.locator(".scatterlayer .trace").nth(count - 1).wait_for(timeout=SOON_MS)
    assert chart.locator(".scatterlayer .trace").count() in (count, 2 * count)  # lines, points
    assert chart.bounding_box()["width"] > 400
    text = " ".join(page.inner_text("body").split())
    assert "lat_ms/p50" in text
    assert f"over {axis} (lat_ms/p50)" in text


def test_the_charts_of_the_trials_begin_with_what_the_sweep_varies(opened):
    page = opened("sixty")
    page.locator('[role="columnheader"]').first.wait_for(timeout=SOON_MS)
    page.goto(f"{page.url.partition('&compareRunsMode')[0]}&compareRunsMode=CHART")
    page.get_by_text("Parallel Coordinates").first.wait_for(timeout=SOON_MS)
    text = " ".join(page.inner_text("body").split())
    assert "sweep (4)" in text


def test_the_run_of_the_sweep_shows_its_report_among_its_artifacts(opened, lines):
    from mlflow import MlflowClient

    page = opened("eight")
    server = page.url.partition("#")[0].rstrip("/")
    query = "tags.`runner.kind` = 'sweep' and tags.`runner.sweep` = 'eight'"
    (run,) = MlflowClient(server).search_runs(["1"], query)
    page.goto(f"{server}/#/experiments/1/runs/{run.info.run_id}/artifacts")
    page.get_by_text("alexnet, mobilenet_v3_small x 4 sizes").first.wait_for(timeout=SOON_MS)
    page.get_by_text("report.html").first.click(timeout=SOON_MS)
    frame = page.frame_locator("iframe").first
    frame.get_by_text("fastest at 640px, batch 1: alexnet").wait_for(timeout=SOON_MS)
    frame.locator(".scatterlayer .trace").first.wait_for(timeout=SOON_MS, state="attached")
