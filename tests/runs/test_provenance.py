from __future__ import annotations

import subprocess

from mmlego import __version__
from mmlego.runs import provenance
from mmlego.runs.provenance import git_revision


def test_revision_of_no_checkout(tmp_path):
    assert git_revision(tmp_path) == "unknown"


def test_revision_says_whether_files_were_changed(tmp_path):
    def git(*words):
        identity = ["-c", "user.name=n", "-c", "user.email=e@x"]
        subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True)

    (tmp_path / "mmlego").mkdir()
    (tmp_path / "mmlego" / "a.py").write_text("1\n")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "x", "--no-verify")
    clean = git_revision(tmp_path)
    assert len(clean) == 12
    (tmp_path / "mmlego" / "a.py").write_text("2\n")
    assert git_revision(tmp_path) == f"{clean}+changes"


def test_versions_and_hardware_name_what_numbers_depend_on():
    assert {"python", "torch", "numpy", "scikit-survival"} <= set(provenance.versions())
    assert provenance.versions()["mmlego"] == __version__
    facts = provenance.hardware("cpu")
    assert facts["device"] == "cpu"
    assert facts["cores"] >= 1
    assert set(facts) == {"device", "machine", "system", "cores", "threads"}
