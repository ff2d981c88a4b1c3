"""The documents as a site: every link leads somewhere, and reading it needs no network."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from fakes.program import ROOT

import runner


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_document_is_a_page_of_the_site(site):
    pages = {path.stem for path in site.glob("*.html")} - {"404"}
    assert pages == {path.stem for path in (ROOT / "docs").glob("*.md")}


def test_no_page_loads_anything_from_elsewhere(site):
    for page in site.glob("*.html"):
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r'<(?:script|img|iframe)[^>]*\bsrc="([^"]+)"', text)
        loaded += re.findall(r'<link[^>]*rel="stylesheet"[^>]*href="([^"]+)"', text)
        assert loaded
        assert [one for one in loaded if "//" in one] == [], page.name


@pytest.mark.parametrize("name", [name for name in runner.__all__ if not name.startswith("_")])
def test_what_is_public_is_explained(site, name):
    text = (site / "api.html").read_text(encoding="utf-8")
    assert f'id="runner.{name}"' in text
    first = getattr(runner, name).__doc__.splitlines()[0].partition("`")[0].strip(" :")
    assert first in text


def test_links_of_the_files_beside_the_site_lead_somewhere():
    for file in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md"):
        text = (ROOT / file).read_text()
        for path in re.findall(r"\]\(((?!http)[^)#]+)\)", text):
            assert ((ROOT / file).parent / path).exists(), f"{file}: {path}"
