"""What all runs say together.

The tables and sentences of the summary page and of the book's home page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mmlego import figures
from mmlego.errors import RunError
from mmlego.experiments import pairing
from mmlego.experiments.published import published_for, role_of
from mmlego.experiments.record import read_records
from mmlego.experiments.results import load_metrics
from mmlego.experiments.session import Session
from mmlego.figures import style
from mmlego.learning.statistics import holm

MANUAL = "manual"
MERGE, FUSE = "LegoMerge", "LegoFuse (stack, 2 epochs)"
BEST, ENSEMBLE = "best single block", "ensemble"
# (method, variant) -> name of the row in the summary; these see every modality
_ROWS = {
    ("lego_block", "best by validation"): BEST,
    ("ensemble", "logits"): ENSEMBLE,
    ("lego_merge", "default"): MERGE,
    ("lego_merge", "merge, 2 epochs"): "LegoMerge, tuned 2 epochs",
    ("lego_fuse", "stack, 2 epochs"): FUSE,
    ("lego_fuse", "weave, 2 epochs"): "LegoFuse (weave, 2 epochs)",
}
_UNIMODAL = {
    ("snn", ""): "SNN",
    ("abmil", ""): "ABMIL",
    ("lego_block", "wrapped"): "LegoBlock (wrapped)",
}
CONTRASTS = ((MERGE, BEST), (MERGE, ENSEMBLE), (FUSE, BEST), (FUSE, MERGE))


@dataclass(frozen=True)
class Overview:
    """Headline rows of all cohorts, from the fullest grid of each, and facts about the cohorts."""

    rows: pd.DataFrame
    cohorts: dict[str, dict[str, Any]]

    def patients(self) -> pd.DataFrame:
        """Rows on patient-level splits."""
        return self.rows[self.rows["split_unit"] == "patient"]


def load(session: Session) -> Overview:
    """Read all results of a session's folder."""
    return load_from(session.results)


def load_from(results: Path) -> Overview:
    """Read all results, and of each cohort and split unit keep the grid with the most repeats.

    Runs outside any grid are left out: their settings can be anything.

    Raises:
        RunError: If there are no results of any grid.
    """
    metrics = load_metrics(results)
    metrics = metrics[(metrics["grid"] != MANUAL) & (metrics["cohort"] != "")]
    if metrics.empty:
        raise RunError(
            "summary: no results of any grid; run `mmlego run --grid experiments/quick.yaml` first"
        )
    kept = [_fullest(part) for _, part in metrics.groupby(["cohort", "split_unit"])]
    facts = _facts(results)
    rows = pd.concat([_headline(part, facts) for part in kept], ignore_index=True)
    return Overview(rows, facts)


def _fullest(part: pd.DataFrame) -> pd.DataFrame:
    repeats = part.groupby("grid")["repeat"].nunique()
    return part[part["grid"] == repeats.idxmax()]


def _facts(results: Path) -> dict[str, dict[str, Any]]:
    """Facts about the data of each cohort, as its runs recorded them."""
    found: dict[str, dict[str, Any]] = {}
    for record in read_records(results):
        name = record["data"].get("name")
        if name:
            found[name] = record["data"]
    return found


def _headline(part: pd.DataFrame, facts: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Name the headline rows of one cohort: role of their modalities and label."""
    known = facts[part["cohort"].iloc[0]]
    part = part[part["metric"] == known["metric"]].dropna(subset=["value"])
    tables = known["tables"]
    everything = max(part["modalities"], key=lambda text: text.count("+"))
    rows = []
    for row in part.to_dict("records"):
        names = row["modalities"].split("+")
        key = (row["method"], row["variant"])
        if key in _ROWS and row["modalities"] == everything:
            rows.append(row | {"label": _ROWS[key], "role": "multimodal"})
        elif key in _UNIMODAL and (len(names) == 1 or role_of(names, tables) == "tabular"):
            name = "all tables" if len(names) > 1 else names[0]
            rows.append(
                row | {"label": f"{_UNIMODAL[key]}, {name}", "role": role_of(names, tables)}
            )
    return pd.DataFrame(rows)


def scope(found: Overview) -> str:
    """Which runs the summary rests on."""
    lines = []
    for (cohort, unit), part in found.rows.groupby(["cohort", "split_unit"]):
        facts = found.cohorts[cohort]
        capped = f", capped from {facts['capped_from']}" if facts.get("capped_from") else ""
        lines.append(
            f"* `{cohort}`, splits by {unit}: {part['repeat'].nunique()} repeats, "
            f"{part['n_train'].max()} training and {part['n_test'].max()} test samples in the "
            f"largest{capped}; "
            f"grid `{part['grid'].iloc[0]}`, on {part['device'].iloc[0]}"
        )
    return "\n".join(lines)


def headline_table(found: Overview) -> pd.DataFrame:
    """Mean and standard deviation of every headline row, with the published number beside it."""
    rows = []
    for cohort, part in found.patients().groupby("cohort", sort=True):
        known = published_for(found.cohorts[cohort]["published"]).set_index(["method", "role"])
        means = (
            part.groupby(["label", "method", "role"], sort=False)["value"]
            .agg(["mean", "std", "count"])
            .reset_index()
        )
        for row in means.sort_values("mean", ascending=False).itertuples():
            hit = (row.method, row.role) in known.index and row.label not in (
                BEST,
                "LegoMerge, tuned 2 epochs",
            )
            other = known.loc[(row.method, row.role)] if hit else None
            rows.append(
                {
                    "cohort": cohort,
                    "metric": style.title(found.cohorts[cohort]["metric"]),
                    "model": row.label,
                    "result": f"{row.mean:.3f} ± {row.std:.3f} (n={row.count})",
                    "published": f"{other['published']:.3f} ± {other['published_sd']:.3f}"
                    if hit
                    else "",
                    "comparable": ("yes" if other["comparable"] else f"no: {other['why']}")
                    if hit
                    else "",
                }
            )
    return pd.DataFrame(rows)


def contrasts(found: Overview) -> list[tuple[str, pairing.Paired]]:
    """The paired comparisons that the summary is about, cohort by cohort."""
    rows = []
    for cohort, part in found.patients().groupby("cohort", sort=True):
        labels = set(part["label"])
        rows += [(cohort, pairing.compare(part, a, b)) for a, b in CONTRASTS if {a, b} <= labels]
    return rows


def adjusted(rows: Sequence[tuple[str, pairing.Paired]]) -> list[float]:
    """P-values of all contrasts after Holm's correction; NaN where there was one repeat only."""
    raw = np.array([found.p_value for _, found in rows])
    known = np.isfinite(raw)
    out = np.full(len(raw), np.nan)
    if known.any():
        out[known] = holm(raw[known])
    return out.tolist()


def paired_table(found: Overview) -> pd.DataFrame:
    """All contrasts with interval, p-value, and p-value after Holm."""
    rows = contrasts(found)
    if not rows:
        return pd.DataFrame([{"cohort": "none", "comparison": "no multimodal results yet"}])
    return pd.DataFrame(
        {
            "cohort": cohort,
            "comparison": f"{pair.first} minus {pair.second}",
            "difference": f"{pair.mean:+.3f}",
            "95 % interval": f"{pair.lower:+.3f} to {pair.upper:+.3f}",
            "repeats": pair.n,
            "p": f"{pair.p_value:.2g}",
            "p (Holm)": f"{p:.2g}",
            "verdict": _verdict(pair, p),
        }
        for (cohort, pair), p in zip(rows, adjusted(rows), strict=True)
    )


def _verdict(pair: pairing.Paired, p: float) -> str:
    if not p < pairing.ALPHA:
        return "cannot be told apart"
    return f"{pair.first if pair.mean > 0 else pair.second} is better"


def difference_figure(found: Overview) -> Figure:
    """LegoMerge minus the best single block, repeat by repeat, for every cohort."""
    rows = []
    for cohort, part in found.patients().groupby("cohort", sort=True):
        wide = part.pivot_table(index="repeat", columns="label", values="value")
        for name in (MERGE, FUSE, ENSEMBLE):
            if {name, BEST} <= set(wide.columns):
                change = (wide[name] - wide[BEST]).dropna()
                rows += [
                    {
                        "label": f"{cohort}: {name}",
                        "method": _method_of(name),
                        "repeat": repeat,
                        "value": value,
                    }
                    for repeat, value in change.items()
                ]
    return figures.forest_plot(
        pd.DataFrame(rows),
        metric="difference to the best single block",
        chance=0.0,
        test_train_ratio=0.15 / 0.70,
    )


def _method_of(label: str) -> str:
    return {MERGE: "lego_merge", FUSE: "lego_fuse", ENSEMBLE: "ensemble"}[label]


def leakage_table(found: Overview) -> pd.DataFrame:
    """Row-level minus patient-level means of the same models."""
    means = (
        found.rows.groupby(["cohort", "label", "split_unit"])["value"]
        .agg(["mean", "std", "count"])
        .unstack("split_unit")
    )
    if ("mean", "row") not in means.columns:
        return pd.DataFrame([{"cohort": "none", "model": "no results under row-level splits yet"}])
    both = means.dropna(subset=[("mean", "row"), ("mean", "patient")])
    return pd.DataFrame(
        {
            "cohort": cohort,
            "model": label,
            "by patient": f"{row['mean', 'patient']:.3f} ± {row['std', 'patient']:.3f}",
            "by row": f"{row['mean', 'row']:.3f} ± {row['std', 'row']:.3f}",
            "difference": f"{row['mean', 'row'] - row['mean', 'patient']:+.3f}",
        }
        for (cohort, label), row in both.iterrows()
    )


def leakage_text(found: Overview) -> str:
    """One sentence on what row-level splits add."""
    table = leakage_table(found)
    if "difference" not in table:
        return "No run used row-level splits yet."
    values = table["difference"].astype(float)
    return (
        f"Over {len(values)} pairs of the same model and cohort, row-level splits change the mean "
        f"by {values.mean():+.3f} "
        f"on average (from {values.min():+.3f} to {values.max():+.3f}).\n"
        "The two protocols use different random splits, so a single row of the table is noisy; the "
        "average is what to look at."
    )


def answer(found: Overview) -> list[str]:
    """The answer of the book in a few sentences, from the results alone."""
    rows = contrasts(found)
    ps = adjusted(rows)
    lines = []
    for first, second in CONTRASTS:
        chosen = [
            (pair, p)
            for (_, pair), p in zip(rows, ps, strict=True)
            if (pair.first, pair.second) == (first, second)
        ]
        if chosen:
            lines.append(_count(first, second, chosen))
    return lines or ["There are no multimodal results yet: run a grid first."]


def _count(first: str, second: str, chosen: Sequence[tuple[pairing.Paired, float]]) -> str:
    better = sum(p < pairing.ALPHA and pair.mean > 0 for pair, p in chosen)
    worse = sum(p < pairing.ALPHA and pair.mean < 0 for pair, p in chosen)
    average = np.mean([pair.mean for pair, _ in chosen])
    return (
        f"**{first} against {second}**: better in {better}, worse in {worse}, not to be told apart "
        "in "
        f"{len(chosen) - better - worse} of {len(chosen)} cohorts; the average difference is "
        f"{average:+.3f}."
    )


def conclusion(found: Overview) -> str:
    """What the whole of the results says, as a list."""
    text = answer(found)
    repeats = found.patients().groupby("cohort")["repeat"].nunique()
    text.append(
        f"Between {repeats.min()} and {repeats.max()} repeats were run per cohort. "
        "Verdicts hold after Holm's correction over all comparisons on this page; "
        "'not to be told apart' is not the same as 'equal'."
    )
    return "\n".join(f"* {line}" for line in text)
