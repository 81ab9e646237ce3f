"""Run one notebook with papermill, guarded: it either ran to its end, or left nothing but a log.

Papermill itself only logs an unknown parameter, writes a notebook that failed, and leaves no mark
on one whose kernel was killed. None of these may look like a result.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mmlego.bench.settings import RunSettings
from mmlego.bench.store.code import code_digest
from mmlego.data.cards.catalog import load_card
from mmlego.data.paths import project_root, results_folder
from mmlego.errors import MMLegoError, RunError
from mmlego.runs.catalogue import notebook_entry
from mmlego.runs.executed import presentable
from mmlego.runs.files import whole_folder, write_text
from mmlego.runs.notebook_code import numeric_code
from mmlego.runs.notebooks import (
    cast_parameters,
    failures,
    notebook_path,
    read_notebook,
    source_digest,
)
from mmlego.runs.records.record import read_record
from mmlego.runs.records.results import TABLE, collect

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class RunReport:
    """What became of a run: its id, ``done`` or ``kept``, seconds, and the executed notebook."""

    run_id: str
    status: str
    seconds: float
    page: Path


def settings_for(notebook: str | Path, given: Mapping[str, Any]) -> RunSettings:
    """Validate parameters for a notebook as strictly as the notebook itself will.

    A run never trains blocks on the side, as an interactive notebook may, unless it is told to: the
    blocks of a published merge must have a record of their own.
    """
    path = notebook_path(notebook)
    kind = notebook_entry(path.stem).settings
    given = dict(given)
    if "train_missing_blocks" in kind.model_fields:
        given.setdefault("train_missing_blocks", False)
    if given.get("results"):
        # The kernel works in the root of the project, whatever the working directory is here.
        given["results"] = results_folder(given["results"])
    if _is_path(given.get("cohort", "")):
        given["cohort"] = _from_root(Path(given["cohort"]))
    return kind.from_values(cast_parameters(path, given))


def _is_path(cohort: object) -> bool:
    return str(cohort).endswith((".yaml", ".yml"))


def _from_root(card: Path) -> str:
    """Path of a card of one's own as the kernel will see it, from the root of the project."""
    root = project_root()
    place = card.resolve() if card.is_file() else (root / card).resolve()
    return str(place.relative_to(root)) if place.is_relative_to(root) else str(place)


def check_cohort(settings: RunSettings) -> None:
    """Refuse an unknown cohort, or a card with a fault, before a kernel is started.

    Raises:
        CardError: If the card is not there or not valid.
    """
    cohort = getattr(settings, "cohort", "")
    if cohort:
        load_card(project_root() / cohort if _is_path(cohort) else cohort)


def page_path(settings: RunSettings, results: Path) -> Path:
    """Where the executed notebook of a run outside any grid goes."""
    return results / "notebooks" / f"{settings.run_id}.ipynb"


def done_mark(settings: RunSettings, results: Path, source: Path | None = None) -> Path:
    """The mark of a run finished on this machine, by this code; it is not part of a clone."""
    digest = run_digest(source or settings.notebook)
    return results / "artifacts" / "runs" / f"{settings.run_id}.{digest}"


def run_digest(notebook: str | Path) -> str:
    """Hash of the code that decides the numbers of a notebook."""
    path = notebook_path(notebook)
    return f"{code_digest(*numeric_code(path))}-{source_digest(path)}"


def is_finished(settings: RunSettings, page: Path, source: Path | None = None) -> bool:
    """Whether this very run was finished here by this very code, and its page is there."""
    if notebook_entry(settings.notebook).reads_results:
        return False
    results = results_folder(settings.results)
    record = read_record(settings.run_id, results)
    return record is not None and page.is_file() and done_mark(settings, results, source).is_file()


def run_notebook(
    notebook: str | Path,
    given: Mapping[str, Any] | None = None,
    *,
    page: Path | None = None,
    force: bool = False,
    threads: int | None = None,
) -> RunReport:
    """Execute a notebook unless the very same run is already finished.

    Args:
        notebook: Name or path.
        given: Parameters that differ from the notebook's defaults.
        page: Where the executed notebook goes; default ``notebooks/<run id>.ipynb`` of the results.
        force: Run even if finished, and train anew what records and stored fits know.
        threads: Threads of the run; default as many as torch takes.

    Raises:
        SettingsError: If a parameter is unknown, of the wrong type, or out of range.
        RunError: If a path cannot be used, or a cell failed; the log says where.
    """
    source = notebook_path(notebook)
    settings = settings_for(source, dict(given or {}) | ({"force": True} if force else {}))
    check_cohort(settings)
    results = results_folder(settings.results)
    page = page or page_path(settings, results)
    _check_path(source, page)
    if not settings.force and is_finished(settings, page, source):
        return RunReport(settings.run_id, "kept", 0.0, page)
    started = time.monotonic()
    _execute(source, settings, page, results, threads)
    return RunReport(settings.run_id, "done", time.monotonic() - started, page)


def _check_path(source: Path, page: Path) -> None:
    """Refuse what papermill would misread, and what cannot be written, before anything runs."""
    for path in (source, page):
        if "{" in str(path) or "}" in str(path):
            raise RunError(f"path {path}: braces are not allowed in a path; choose another one")
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise RunError(
            f"cannot write to {page.parent} ({problem.strerror}); choose another folder"
        ) from None
    if not os.access(page.parent, os.W_OK):
        raise RunError(f"cannot write to {page.parent} (permission denied); choose another folder")


def _execute(
    source: Path, settings: RunSettings, page: Path, results: Path, threads: int | None
) -> None:
    """Run into a draft, look whether all of it ran, then move it into place."""
    import nbformat

    mark = done_mark(settings, results, source)
    mark.unlink(missing_ok=True)
    log = results / "logs" / f"{settings.run_id}.log"
    write_text(log, "")
    if notebook_entry(settings.notebook).reads_results:
        collect(results)
    record = results / "runs" / settings.run_id
    before = _written(record)
    kept = _copy_of(record)
    draft = page.with_name(f".draft-{os.getpid()}-{page.name}")
    try:
        problem = _papermill(source, draft, settings, log, threads)
        executed = read_notebook(draft) if draft.is_file() else None
        found = failures(executed) if executed is not None else ["nothing was executed"]
        if problem or found:
            raise RunError(f"run {settings.run_id}: {_reason(problem, found)}; see {log}")
        if _written(record) == before:
            raise RunError(
                f"run {settings.run_id}: the notebook ran but wrote no record; its last cell must "
                "do so"
            )
        write_text(page, nbformat.writes(presentable(executed, settings)) + "\n")
        write_text(mark, "")
    except RunError:
        _take_back(record, before, kept, results)
        raise
    finally:
        draft.unlink(missing_ok=True)
        shutil.rmtree(kept, ignore_errors=True)


def _reason(problem: str, found: list[str]) -> str:
    """Which cell failed, and why where the cell itself does not say it."""
    if not found or problem in found[0]:
        return found[0] if found else problem
    return f"{found[0]}: {problem}"


def _written(record: Path) -> tuple[int, str] | None:
    """When a record was written, and what it says; None if there is none."""
    about = record / "record.json"
    if not about.is_file():
        return None
    return about.stat().st_mtime_ns, about.read_text(encoding="utf-8")


def _copy_of(record: Path) -> Path:
    """A copy of a record, empty where there is none, to go back to if its run fails."""
    kept = Path(tempfile.mkdtemp(prefix="mmlego-"))
    if record.is_dir():
        shutil.copytree(record, kept, dirs_exist_ok=True)
    return kept


def _take_back(record: Path, before: tuple[int, str] | None, kept: Path, results: Path) -> None:
    """Undo the record of a run that failed after its notebook had written it."""
    if _written(record) == before:
        return
    shutil.rmtree(record)
    if before is not None:
        with whole_folder(record) as draft:
            shutil.copytree(kept, draft, dirs_exist_ok=True)
    if (results / TABLE).is_file():
        collect(results)


def _papermill(
    source: Path, draft: Path, settings: RunSettings, log: Path, threads: int | None
) -> str:
    """Execute into the draft; returns the problem in one line, or nothing."""
    import papermill
    from nbclient.exceptions import DeadKernelError

    with (
        log.open("w", encoding="utf-8") as stream,
        tempfile.TemporaryDirectory(prefix="mmlego-") as sockets,
        _threads(threads),
    ):
        try:
            papermill.execute_notebook(
                str(source),
                str(draft),
                parameters=settings.model_dump(),
                kernel_name="python3",
                cwd=str(project_root()),
                progress_bar=False,
                **_kernel_options(stream, sockets),
                stdout_file=stream,
                stderr_file=stream,
            )
        except papermill.PapermillExecutionError as problem:
            stream.write("\n".join(str(line) for line in problem.traceback))
            return f"{problem.ename}: {problem.evalue}"
        except DeadKernelError:
            return "its kernel died, most often for lack of memory; lower 'batch_size'"
        except MMLegoError:
            raise
        except (OSError, RuntimeError, ValueError, KeyError) as problem:
            return f"{type(problem).__name__}: {problem}"
    return ""


def _kernel_options(stream: IO[str], folder: str) -> dict[str, Any]:
    """Options of the kernel: its messages go to the log, and it is spoken to without ports.

    Runs side by side race for network ports, which files of one's own do not have; Windows knows no
    such files.
    """
    from jupyter_client.manager import AsyncKernelManager

    class QuietKernelManager(AsyncKernelManager):
        """A kernel manager that writes to a log and keeps its sockets in a folder of its own."""

        transport = "ipc" if os.name == "posix" else "tcp"

        async def start_kernel(self, **options: Any) -> None:  # type: ignore[override]  # its parent has the type of the synchronous one
            """Start the kernel with its output redirected."""
            if self.transport == "ipc":
                self.ip = str(Path(folder) / "kernel")
            await super().start_kernel(**({"stdout": stream, "stderr": stream} | options))

    return {"kernel_manager_class": QuietKernelManager}


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Limit the threads of the kernel that is started inside."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    if count is not None:
        os.environ |= dict.fromkeys(_THREAD_VARIABLES, str(count))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
