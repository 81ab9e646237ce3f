"""The catalogue of notebooks: everything that the compendium knows of a notebook, once.

A notebook is its file in ``notebooks/``, its settings, and its entry here; one without the others
is an error.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from mmlego.bench.settings import BlockSettings, RunSettings, TuningSettings, unknown_name
from mmlego.errors import SettingsError
from mmlego.runs import settings as kinds

Part = Literal["answer", "cohort", "checks"]


@dataclass(frozen=True)
class Notebook:
    """One notebook.

    Attributes:
        settings: Class of its settings, which knows its name.
        title: Title of its pages.
        part: Where its pages stand in the book: with the answer, in the chapter of their cohort, or
            with the checks beside the methods.
        reads_results: It reads the results of other runs and trains nothing, so it is run last, and
            always anew.
        needs_blocks: It uses the blocks that ``unimodal`` stored.
        in_summary: Its outcomes belong to the summary of blocks, merge and fusion.
        seconds: A guess of how long a small run takes.
    """

    settings: type[RunSettings]
    title: str
    part: Part = "cohort"
    reads_results: bool = False
    needs_blocks: bool = False
    in_summary: bool = False
    seconds: float = 10.0

    @property
    def name(self) -> str:
        """Name of its file, without the ending."""
        return self.settings.notebook

    @property
    def has_cohort(self) -> bool:
        """Whether it is run on a cohort, whose data it trains on through its session."""
        return issubclass(self.settings, BlockSettings)


# In reading order, part by part.
_ENTRIES = (
    Notebook(kinds.TableSettings, "The main table", "answer", reads_results=True),
    Notebook(kinds.ProtocolSettings, "What the protocol is worth", "answer", reads_results=True),
    Notebook(kinds.SummarySettings, "Blocks, merge and fusion", "answer", reads_results=True),
    Notebook(kinds.AMCOverviewSettings, "AMC over its data sets", "answer", reads_results=True),
    Notebook(kinds.BenchmarkSettings, "Every method", seconds=90.0),
    Notebook(kinds.UnimodalSettings, "One modality at a time", in_summary=True, seconds=40.0),
    Notebook(
        kinds.MergeSettings, "Merging blocks", needs_blocks=True, in_summary=True, seconds=20.0
    ),
    Notebook(kinds.FuseSettings, "Fusing blocks", needs_blocks=True, in_summary=True, seconds=30.0),
    Notebook(kinds.RobustnessSettings, "Missing modalities, imbalance, extension"),
    Notebook(kinds.DisjointSettings, "Training on different patients"),
    Notebook(kinds.BlockAblationSettings, "Taking the block apart"),
    Notebook(kinds.WeightMergingSettings, "Merging weights instead", needs_blocks=True),
    Notebook(kinds.DynamicsSettings, "MM dynamics and its ablations"),
    Notebook(kinds.ConfidenceSettings, "What predicted confidence is worth"),
    Notebook(kinds.ImageSettings, "MM dynamics with images"),
    Notebook(kinds.AMCSettings, "AMC and its rivals"),
    Notebook(kinds.AMCAblationSettings, "Taking AMC apart"),
    Notebook(kinds.TokenSettings, "Which tokens are replaced"),
    Notebook(TuningSettings, "Searching hyper-parameters"),
    Notebook(kinds.RequirementsSettings, "Five requirements, checked", "checks"),
    Notebook(kinds.EfficiencySettings, "Time, memory and scaling", "checks"),
    Notebook(kinds.PropertiesSettings, "Properties of the transform", "checks"),
    Notebook(kinds.SignalSettings, "Signal interference", "checks"),
)
CATALOGUE: dict[str, Notebook] = {entry.name: entry for entry in _ENTRIES}


def notebook_entry(name: str, *, owner: str = "catalogue of notebooks") -> Notebook:
    """The entry of a notebook.

    Args:
        name: Name of the notebook.
        owner: Who asks, for the message.

    Raises:
        SettingsError: If there is none.
    """
    if name not in CATALOGUE:
        raise SettingsError(unknown_name(owner, name, CATALOGUE, what="notebook"))
    return CATALOGUE[name]


def names_in_order(part: Part) -> tuple[str, ...]:
    """Names of the notebooks of one part of the book, in reading order."""
    return tuple(name for name, entry in CATALOGUE.items() if entry.part == part)


def in_summary(run_ids: Iterable[str]) -> list[bool]:
    """Whether the outcomes of each run belong to the summary of blocks, merge and fusion.

    A run of a notebook that is not in the catalogue does not.
    """
    wanted = {name for name, entry in CATALOGUE.items() if entry.in_summary}
    return [run_id.split("-")[0] in wanted for run_id in run_ids]
