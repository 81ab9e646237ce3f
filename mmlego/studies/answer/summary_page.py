"""What all runs say together.

The tables and sentences of the summary page and of the book's home page.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mmlego import figures
from mmlego.figures import style
from mmlego.learning.statistics import pairing
from mmlego.methods import names
from mmlego.reporting.published import has_published, published_for
from mmlego.reporting.tables import comparison_row, mean_with_sd
from mmlego.studies.answer.contrasts import (
    BEST,
    CONTRASTS,
    ENSEMBLE,
    FUSE,
    MERGE,
    Overview,
    adjusted,
    contrasts,
    decided,
    facts_of,
    load,
    load_from,
    loses,
    real_rows,
    wins,
    with_p,
)

__all__ = [
    "Overview",
    "answer",
    "best_table",
    "conclusion",
    "difference_figure",
    "headline",
    "headline_table",
    "leakage_table",
    "leakage_text",
    "load",
    "load_from",
    "paired_table",
    "scope",
]


def scope(found: Overview) -> str:
    """Which runs the summary rests on."""
    lines = []
    for (cohort, unit), part in found.rows.groupby(["cohort", "split_unit"]):
        facts = facts_of(found.cohorts, part)
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
        facts = facts_of(found.cohorts, part)
        known = published_for(facts["published"], facts["tables"]).set_index(["method", "role"])
        keys = ["label", "method", "arm", "chosen_by", "tune_epochs", "role"]
        means = (
            part.groupby(keys, sort=False, dropna=False)["value"]
            .agg(["mean", "std", "count"])
            .reset_index()
        )
        for row in means.sort_values("mean", ascending=False).itertuples():
            hit = (row.method, row.role) in known.index and has_published(row._asdict())
            other = known.loc[(row.method, row.role)] if hit else {}
            rows.append(
                {
                    "cohort": cohort,
                    "metric": style.title(facts["metric"]),
                    "model": row.label,
                    "result": f"{mean_with_sd(row.mean, row.std)} (n={row.count})",
                    "grid": part["grid"].iloc[0],
                    "published": f"{other['published']:.3f} ± {other['published_sd']:.3f}"
                    if hit
                    else "",
                    "comparable": ("yes" if other["comparable"] else f"no: {other['why']}")
                    if hit
                    else "",
                }
            )
    return pd.DataFrame(rows)


def paired_table(found: Overview) -> pd.DataFrame:
    """All contrasts with interval, p-value, and p-value after Holm."""
    rows = contrasts(found)
    if not rows:
        return pd.DataFrame([{"cohort": "none", "comparison": "no multimodal results yet"}])
    return pd.DataFrame(
        {
            "cohort": cohort,
        }
        | comparison_row(pair, p)
        | {"verdict": _verdict(pair, p)}
        for (cohort, pair), p in zip(rows, adjusted(rows), strict=True)
    )


def _verdict(pair: pairing.Paired, p: float) -> str:
    if pair.n < pairing.FEWEST_REPEATS:
        return "too few repeats"
    if not decided(pair, p):
        return "cannot be told apart"
    return f"{pair.first if pair.mean > 0 else pair.second} is better"


def difference_figure(found: Overview) -> Figure | None:
    """Merge, fusion and ensemble minus the best single block, repeat by repeat, for every cohort.

    None where nothing can be compared yet.
    """
    rows = []
    for cohort, part in real_rows(found).groupby("cohort", sort=True):
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
    if not rows:
        return None
    return figures.forest_plot(
        pd.DataFrame(rows),
        metric="difference to the best single block",
        chance=0.0,
        test_train_ratio=0.15 / 0.70,
    )


def _method_of(label: str) -> str:
    return {MERGE: names.LEGO_MERGE, FUSE: names.LEGO_FUSE, ENSEMBLE: names.ENSEMBLE}[label]


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
            "by patient": mean_with_sd(row["mean", "patient"], row["std", "patient"]),
            "by row": mean_with_sd(row["mean", "row"], row["std", "row"]),
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


def headline(found: Overview) -> str:
    """The answer in two sentences: how often combining modalities helped, and by how much."""
    rows = with_p(contrasts(found))
    against = [(name, pair, p) for name, pair, p in rows if pair.second == BEST]
    if not against:
        return "There are no multimodal results yet: run a grid first."
    cohorts = sorted({name for name, _, _ in against})
    better = [f"{pair.first} on `{name}`" for name, pair, p in against if wins(pair, p)]
    worse = [f"{pair.first} on `{name}`" for name, pair, p in against if loses(pair, p)]
    if not better and not worse:
        verdict = (
            "neither merging nor fusing blocks can be told apart from simply using the best single "
            "block"
        )
    else:
        verdict = (
            f"combining blocks is better than the best single block for {_listed(better)}, and "
            f"worse for {_listed(worse)}"
        )
    return (
        f"On {pairing.counted(len(cohorts), 'real cohort')}, {verdict}. "
        f"{_sizes([pair for _, pair, _ in against])}"
    )


def _sizes(pairs: Sequence[pairing.Paired]) -> str:
    """How large differences are, and how large one must be to be seen."""
    means = [pair.mean for pair in pairs]
    text = f"The mean differences lie between {min(means):+.3f} and {max(means):+.3f}"
    widths = [pair.upper - pair.mean for pair in pairs if pair.n > 1]
    if not widths:
        return f"{text}; with one repeat, nothing says how large chance is."
    return (
        f"{text}; a typical 95 % interval reaches {np.median(widths):.2f} to either side, so "
        "smaller effects cannot be seen here."
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "none"


def answer(found: Overview) -> list[str]:
    """What each way of combining modalities is worth, a line per comparison that real data have."""
    rows = with_p(contrasts(found))
    lines = []
    for first, second in CONTRASTS:
        chosen = [(pair, p) for _, pair, p in rows if (pair.first, pair.second) == (first, second)]
        if chosen:
            lines.append(_count(first, second, chosen))
    return lines


def _count(first: str, second: str, chosen: Sequence[tuple[pairing.Paired, float]]) -> str:
    better = sum(wins(pair, p) for pair, p in chosen)
    worse = sum(loses(pair, p) for pair, p in chosen)
    average = np.mean([pair.mean for pair, _ in chosen])
    return (
        f"**{first} against {second}**: better in {better}, worse in {worse}, not to be told apart "
        f"in {len(chosen) - better - worse} of {len(chosen)} cohorts; the average difference is "
        f"{average:+.3f}."
    )


def best_table(found: Overview) -> pd.DataFrame:
    """For every cohort the model with the highest mean, and what each way of combining reaches."""
    rows = []
    for cohort, part in found.patients().groupby("cohort", sort=True):
        means = pairing.means(part)
        values = {
            name: f"{means.loc[name, 'mean']:.3f}" if name in means.index else ""
            for name in (BEST, ENSEMBLE, MERGE, FUSE)
        }
        top = means.iloc[0]
        rows.append(
            {"cohort": cohort, "metric": style.title(facts_of(found.cohorts, part)["metric"])}
            | values
            | {
                "highest mean of all": f"{means.index[0]}: {mean_with_sd(top['mean'], top['std'])}",
                "repeats": int(top["count"]),
                "grid": part["grid"].iloc[0],
            }
        )
    return pd.DataFrame(rows)


def conclusion(found: Overview) -> str:
    """What the whole of the results says, as a list."""
    text = [headline(found), *answer(found)]
    repeats = found.rows.groupby(["cohort", "split_unit"])["repeat"].nunique()
    least, most = repeats.min(), repeats.max()
    count = pairing.counted(most, "repeat") if least == most else f"{least} to {most} repeats"
    text.append(
        f"{count} were run per cohort and kind of split. "
        "Verdicts hold after Holm's correction over all comparisons; "
        "'not to be told apart' is not the same as 'equal'."
    )
    return "\n".join(f"* {line}" for line in text)
