from __future__ import annotations

import pytest
from typer.testing import CliRunner

from mmlego.data.commands import app


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")

    def call(*arguments):
        return CliRunner().invoke(app, [str(a) for a in arguments])

    return call


def test_list_names_every_card_and_its_state(run):
    result = run("list")
    assert result.exit_code == 0
    row = next(line for line in result.output.splitlines() if "tcga-blca" in line)
    assert "survival" in row
    assert "373" in row
    assert "partly" in row
    assert "yes" in next(line for line in result.output.splitlines() if "transbig" in line)


def test_list_sees_the_mirror(run, mirror):
    lines = run("list").output.splitlines()
    assert all("yes" in line for line in lines if "tcga-" in line or "physionet" in line)


def test_show_tells_terms_files_and_caveats(run):
    output = run("show", "tcga-kirp").output
    for text in ("licence:", "file omics:", "modality img:", "published as TCGA-KIRP", "note:"):
        assert text in output


def test_check_of_embedded_and_own_data_passes(run, root):
    assert run("check", "wdbc").output.strip().endswith("wdbc: ok")
    result = run("check", root / "data/example/example.yaml")
    assert result.exit_code == 0
    files = [line for line in result.output.splitlines() if line.startswith("file ")]
    assert len(files) == 4
    assert all("no checksum given" in line for line in files)


def test_fetch_of_what_is_there_does_nothing(run):
    assert "ships with a dependency" in run("fetch", "transbig").output
    assert "nothing to fetch" in run("fetch", "synthetic").output


def test_fetch_of_a_mirrored_set_checks_it(run, mirror):
    result = run("fetch", "tcga-ucec")
    assert result.exit_code == 0
    assert "tcga_ucec_all_clean.csv.zip" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "tcga-blcaa"), "did you mean 'tcga-blca'?"),
        (("check", "physionet2012-mortality"), "mmlego data prepare"),
        (("fetch",), "expected a name or --all"),
        (("fetch", "physionet2012-mortality"), "to obtain:"),
        (("prepare", "wdbc", "--source", ".", "--out", "."), "expected a data set with a prep"),
        (("splits", "tcga-blca", "--data-dir", "nowhere"), "data_dir: expected a folder"),
    ],
)
def test_errors_are_one_line_and_exit_code_one(run, arguments, message):
    result = run(*arguments)
    assert result.exit_code == 1
    assert message in result.stderr
    assert all(line.startswith("error: ") for line in result.stderr.splitlines())
    assert "Traceback" not in result.output


def test_prepare_writes_where_the_card_looks(run, mirror, tmp_path):
    source = mirror / "physionet2012/raw_sample"
    result = run("prepare", "physionet2012-mortality", "--source", source, "--out", tmp_path)
    assert result.exit_code == 0
    assert (tmp_path / "physionet2012/p12_long.csv.gz").is_file()


def test_splits_are_written_and_equal_the_committed_ones(run, root, tmp_path):
    assert run("splits", "wdbc", "--out", tmp_path).exit_code == 0
    written = (tmp_path / "wdbc.csv").read_bytes()
    assert written == (root / "data/splits/wdbc.csv").read_bytes()
