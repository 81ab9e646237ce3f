"""The book: its contents, and a build with warnings as errors in a copy of the repository."""

from __future__ import annotations

import importlib.metadata
import shutil
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

from mmlego.book.build import build, check_pages
from mmlego.book.executed_notebooks import executed_pages
from mmlego.book.prepare import prepare
from mmlego.book.source import source_folder

SKIPPED = (".git", ".venv", "_build", "generated", "artifacts", ".snakemake", "__pycache__")
_OWN = "smoke/wdbc/merge.ipynb"
SKIPPED += (".pytest_cache", ".ruff_cache", "tests")


def _files(node):
    if isinstance(node, dict):
        yield from (value for key, value in node.items() if key in ("file", "root"))
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from _files(item)


def test_version_of_jupyter_book():
    assert importlib.metadata.version("jupyter-book").startswith("1.")


def test_committed_pages_ran_to_their_end(repository):
    check_pages(repository)


def test_every_page_of_the_book_has_a_record(repository):
    """A page shows its run; without the record its numbers cannot be traced."""
    import nbformat

    for page in executed_pages(repository):
        text = nbformat.writes(nbformat.read(repository / page.path, 4))
        records = (repository / "results" / "runs").glob(f"{page.notebook}-*")
        assert any(record.name in text for record in records), page.path


@pytest.fixture(scope="module")
def copy(repository, smoke, tmp_path_factory):
    """A copy of the repository whose book shows pages and results of the smoke grid.

    They are published ones, but for one page, which is the reader's.
    """
    root = tmp_path_factory.mktemp("book") / "copy"
    shutil.copytree(repository, root, ignore=shutil.ignore_patterns(*SKIPPED))
    for name in ("book/runs", "results"):
        shutil.rmtree(root / name, ignore_errors=True)
    (root / "results").mkdir()
    shutil.copytree(smoke.results / "pages", root / "book" / "runs")
    shutil.copytree(smoke.results / "runs", root / "results" / "runs")
    own = root / "results" / "local" / "pages" / _OWN
    own.parent.mkdir(parents=True)
    shutil.copy(smoke.results / "pages" / _OWN, own)
    return root


@dataclass
class Links(HTMLParser):
    """Targets and anchors of a page."""

    found: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)

    def __post_init__(self):
        super().__init__()

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.anchors |= {values[name] for name in ("id", "name") if values.get(name)}
        self.found += [values[name] for name in ("href", "src") if values.get(name)]


def _read(path: Path) -> Links:
    links = Links()
    links.feed(path.read_text(encoding="utf-8"))
    return links


@pytest.mark.slow
def test_contents_name_files_that_exist(copy, smoke, monkeypatch):
    monkeypatch.chdir(copy)
    prepare(copy)
    source = source_folder(copy)
    table = yaml.safe_load((source / "book" / "_toc.yml").read_text())
    files = list(_files(table))
    found = {
        name for name in files for end in (".md", ".ipynb") if (source / f"{name}{end}").is_file()
    }
    assert set(files) - found == set()
    made = (smoke.results / "pages").rglob("*.ipynb")
    pages = [path for path in made if not path.name.startswith(".")]
    shown = executed_pages(source)
    assert len(shown) == len(pages) > 15
    assert {page.path.with_suffix("").as_posix() for page in shown} <= set(files)
    assert "Merging blocks (smoke, your run)" in (source / "book" / "_toc.yml").read_text()


@pytest.fixture(scope="module")
def html(copy):
    """The built book; a warning of the build is an error here."""
    patch = pytest.MonkeyPatch()
    patch.chdir(copy)
    home = build(copy)
    patch.undo()
    return home.parents[1]


@pytest.mark.slow
def test_pages_are_built_without_tracebacks(html):
    pages = [path for path in html.rglob("*.html") if "_static" not in path.parts]
    assert len(pages) > 30
    bad = ("Traceback (most recent call last)", "problematic", "system-message", "%%%", "nan ± ")
    for page in pages:
        text = page.read_text(encoding="utf-8")
        shown = text.replace("viewcode", "")
        if "_modules" not in page.parts:
            assert not [word for word in bad if word in shown], page


@pytest.mark.slow
def test_links_lead_somewhere(html):
    shown = [path for path in html.rglob("*.html") if "_static" not in path.parts]
    pages = {path.resolve(): _read(path) for path in shown}
    broken = []
    for page, links in pages.items():
        for link in links.found:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            if not target.exists():
                broken.append(f"{page.name}: {link}")
            elif target in pages and parts.fragment and "_modules" not in target.parts:
                if unquote(parts.fragment) not in pages[target].anchors:
                    broken.append(f"{page.name}: {link}")
    assert broken == []


@pytest.mark.slow
def test_the_home_page_shows_the_answer_of_these_results(html):
    text = (html / "book" / "index.html").read_text(encoding="utf-8")
    assert "LegoMerge" in text
    assert "There are no results yet" not in text
    assert "answer.svg" in text


@pytest.mark.slow
def test_nothing_is_loaded_from_the_network_to_show_an_equation(html):
    text = (html / "book" / "methods" / "lego_merge.html").read_text(encoding="utf-8")
    assert "mathjax/tex-chtml.js" in text
    assert "cdn.jsdelivr.net/npm/mathjax" not in text
    assert (html / "_static" / "mathjax" / "tex-chtml.js").is_file()
