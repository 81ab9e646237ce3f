"""The claims of the paper, each held against the main table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mmlego.learning.statistics import pairing
from mmlego.methods import names
from mmlego.methods.registry import networks, references, titled
from mmlego.reporting.standings import BEST_TITLE
from mmlego.studies.answer.main_table import TableCohort

MERGE, FUSE = titled(names.LEGO_MERGE), titled(names.LEGO_FUSE)
ENSEMBLE = titled(names.ENSEMBLE)
# Every other network of several modalities that is trained as a whole.
NETWORKS = tuple(titled(name) for name in networks())
CLASSICAL = tuple(titled(name) for name in references())
COLUMNS = ["claim", "task", "difference", "low", "high", "repeats", "p", "verdict"]


@dataclass(frozen=True)
class Claim:
    """One published claim: that ``first`` is above ``rival``, on every task.

    Attributes:
        text: The claim in a sentence.
        first: Row that should be higher.
        rival: Row that should be lower.
    """

    text: str
    first: str
    rival: str


CLAIMS = (
    Claim("Merging blocks without training beats the best single block", MERGE, BEST_TITLE),
    Claim("Merging beats the ensemble of the same encoders", MERGE, ENSEMBLE),
    Claim("Two epochs of tuning improve on merging", FUSE, MERGE),
    Claim("Fusing blocks beats the best single block", FUSE, BEST_TITLE),
    Claim("Fusing beats HEALNet, the strongest published rival", FUSE, titled(names.HEALNET)),
)


def compared(tasks: Sequence[TableCohort], claims: Sequence[Claim] = CLAIMS) -> pd.DataFrame:
    """Every claim on every task where both rows are: difference, interval, corrected p-value.

    P-values are corrected over all rows of the table.
    """
    found = []
    for claim in claims:
        for task in tasks:
            rows = task.rows[task.rows["group"] == "multimodal"]
            if {claim.first, claim.rival} <= set(rows["label"]):
                pair = pairing.compare(rows, claim.first, claim.rival)
                found.append((claim, task.name, pair))
    adjusted = pairing.adjust([pair for _, _, pair in found])
    rows = [
        (claim.text, name, pair.mean, pair.lower, pair.upper, pair.n, pair.p_value, _verdict(pair))
        for (claim, name, _), pair in zip(found, adjusted, strict=True)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _verdict(pair: pairing.Paired) -> str:
    if pair.n < pairing.FEWEST_REPEATS:
        return "too few repeats"
    if not pair.decided:
        return "cannot be told"
    return "holds" if pair.mean > 0 else "opposite"


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """The table of claims as text."""
    return pd.DataFrame(
        {
            "claim": table["claim"],
            "task": table["task"],
            "difference": [f"{value:+.3f}" for value in table["difference"]],
            "95 % interval": [
                f"{low:+.3f} to {high:+.3f}" if np.isfinite(low) else ""
                for low, high in zip(table["low"], table["high"], strict=True)
            ],
            "repeats": table["repeats"],
            "p (Holm)": [f"{p:.2g}" if np.isfinite(p) else "" for p in table["p"]],
            "verdict": table["verdict"],
        }
    )


def sentences(table: pd.DataFrame) -> str:
    """One line per claim: on how many tasks it points that way, and how sure that is."""
    if table.empty:
        return "No claim can be checked yet."
    lines = []
    for text, part in table.groupby("claim", sort=False):
        higher = int((part["difference"] > 0).sum())
        counts = part["verdict"].value_counts()
        lines.append(
            f"* **{text}**: the mean points that way on {higher} of "
            f"{pairing.counted(len(part), 'task')} (mean difference "
            f"{part['difference'].mean():+.3f}); after Holm's correction it holds on "
            f"{counts.get('holds', 0)}, the opposite on {counts.get('opposite', 0)}, and "
            f"{counts.get('cannot be told', 0)} cannot be told."
        )
    return "\n".join(lines)


def classical_sentence(tasks: Sequence[TableCohort]) -> str:
    """Whether fusion beats the best reference without a network, task by task."""
    lines = []
    for task in tasks:
        rows = task.rows[task.rows["group"] == "multimodal"]
        means = rows.groupby("label")["value"].mean()
        references = means[means.index.isin(CLASSICAL)]
        networks = means[means.index.isin((*NETWORKS, MERGE, FUSE, ENSEMBLE))]
        if references.empty or networks.empty:
            continue
        text = (
            f"* `{task.name}`: best reference {references.idxmax()} {references.max():.3f}, best "
            f"network or merge {networks.idxmax()} {networks.max():.3f} "
            f"({int((networks > references.max()).sum())} of {len(networks)} above the reference)"
        )
        alone = task.rows[task.rows["modalities"] == "clin"]
        if not alone.empty and len(task.facts["tables"]) > 1:
            best = alone.groupby("label")["value"].mean()
            name = best.idxmax().removesuffix(", clin")
            text += f"; clinical variables alone, {name} {best.max():.3f}"
        lines.append(text + ".")
    return "\n".join(lines)
