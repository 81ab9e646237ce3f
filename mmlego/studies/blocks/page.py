"""Tables, figures and sentences of the notebook `block_ablations`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mmlego import figures
from mmlego.bench.configurations import Configuration
from mmlego.bench.outcome import Outcome
from mmlego.learning.metrics.scores import main_metric
from mmlego.learning.statistics import pairing
from mmlego.methods.names import LEGO_BLOCK, LEGO_FUSE, LEGO_MERGE
from mmlego.reporting import outcomes, sentences
from mmlego.reporting.standings import difference_text
from mmlego.reporting.tables import mean_with_sd
from mmlego.runs.session import Session
from mmlego.runs.settings import BlockAblationSettings
from mmlego.studies.blocks.configurations import UNSCALED, arms
from mmlego.studies.blocks.odd_target import BEHIND_ENCODER, EVEN, ODD
from mmlego.studies.blocks.run import RESIDUE, SHIFT

MERGE, ALONE = "LegoMerge", "single blocks (mean)"
TITLES = {
    "A1": "Imaginary part and transform",
    "A5": "Depth",
    "A6": "Shape of the latent",
    "A8": "What is read, and how",
    "A9": "Starts and shared weights",
    "profiles": "Profiles",
}
ROUNDING = 1e-3  # shares and predictions below this are rounding of single precision
BLIND = 0.6  # area under the curve
ABSENT = "Not part of this run: its name is not in `ablations`."


def arm_table(session: Session[BlockAblationSettings]) -> pd.DataFrame:
    """Every arm: model, method, ablation, level (and label), repeat, value, n_train, n_test.

    Single blocks are averaged over modalities.
    """
    parts = {id(o): _parts(o) for o in session.outcomes}
    metric = main_metric(session.cohort)
    table = outcomes.value_table(session.outcomes, metric, lambda o: "\n".join(parts[id(o)]))
    table[["model", "ablation", "level"]] = table["label"].str.split("\n", expand=True)
    keys = ["model", "method", "ablation", "level", "repeat"]
    table = table.groupby(keys, sort=False, as_index=False)[["value", "n_train", "n_test"]].mean()
    return table.assign(label=table["level"])


def _parts(outcome: Outcome) -> tuple[str, str, str]:
    """Model, ablation and level of an outcome."""
    ablation, level = outcome.facts["ablation"], outcome.facts["level"]
    if outcome.method == LEGO_FUSE:
        return f"LegoFuse ({outcome.arm})", ablation, level
    return (MERGE if outcome.method == LEGO_MERGE else ALONE), ablation, level


def merged(session: Session[BlockAblationSettings], ablation: str) -> pd.DataFrame:
    """LegoMerge at every level of one ablation; no rows where it is not part of the run."""
    table = arm_table(session)
    return table[(table["ablation"] == ablation) & (table["model"] == MERGE)]


def bars(session: Session[BlockAblationSettings], ablation: str) -> Figure | None:
    """LegoMerge at every level of one ablation; None where it is not part of the run."""
    table = merged(session, ablation)
    if table.empty:
        return None
    references = {arm.reference for arm in _arms(session, ablation)}
    return figures.ablation_bars(
        table,
        metric=main_metric(session.cohort),
        reference=references.pop() if len(references) == 1 else None,
    )


def change(session: Session[BlockAblationSettings], ablation: str) -> Figure | None:
    """LegoMerge at every level minus the default; None where it is not part of the run."""
    table = merged(session, ablation)
    if table["level"].nunique() < 2:
        return None
    return figures.paired_differences(
        table,
        reference=_arms(session, ablation)[0].reference,
        metric=main_metric(session.cohort),
        test_train_ratio=sentences.ratio(session),
    )


def tracking_change(session: Session[BlockAblationSettings]) -> Figure | None:
    """LegoMerge of A1 minus its tracked arm, in each group; None where A1 is not part of the run.

    The groups have references of their own, which a single figure of paired differences has not.
    """
    table = merged(session, "A1")
    if table.empty:
        return None
    wide = table.pivot(index="repeat", columns="level", values="value")
    rows = [
        {"label": arm.name, "method": LEGO_MERGE, "repeat": repeat, "value": value}
        for arm in _changed(_arms(session, "A1"))
        for repeat, value in (wide[arm.name] - wide[arm.reference]).items()
    ]
    return figures.forest_plot(
        pd.DataFrame(rows),
        metric="difference to the tracked arm",
        chance=0.0,
        test_train_ratio=sentences.ratio(session),
    )


def depth_curves(session: Session[BlockAblationSettings]) -> Figure | None:
    """Every model over the number of passes; None where A5 is not part of the run."""
    table = arm_table(session)
    table = table[table["ablation"] == "A5"]
    if table.empty:
        return None
    return figures.sweep_plot(
        table.assign(x=table["level"].str.removeprefix("depth ").astype(int), label=table["model"]),
        xlabel="passes over the data (depth)",
        metric=main_metric(session.cohort),
        reference=session.settings.depth,
    )


def profile_forest(session: Session[BlockAblationSettings]) -> Figure | None:
    """Every model under every profile; None where the profiles are not part of the run."""
    table = arm_table(session)
    table = table[table["ablation"] == "profiles"].sort_values("model", kind="stable")
    if table.empty:
        return None
    return figures.forest_plot(
        table.assign(label=table["model"] + ", " + table["level"]),
        metric=main_metric(session.cohort),
        test_train_ratio=sentences.ratio(session),
    )


def comparisons(
    session: Session[BlockAblationSettings],
) -> list[tuple[str, Configuration, pairing.Paired]]:
    """Model, arm, and its difference to its reference.

    P-values are corrected for all comparisons of the same model in this run.
    """
    found: list[tuple[str, Configuration, pairing.Paired]] = []
    for model, part in arm_table(session).groupby("model", sort=False):
        changed = [
            arm
            for ablation in part["ablation"].unique()
            for arm in _changed(_arms(session, ablation))
        ]
        pairs = [
            pairing.compare(part[part["ablation"] == arm.factor], arm.name, arm.reference)
            for arm in changed
        ]
        found += zip([model] * len(pairs), changed, pairing.adjust(pairs), strict=True)
    return found


def difference_table(session: Session[BlockAblationSettings], ablation: str) -> pd.DataFrame:
    """Every model at every level of one ablation: mean, and difference to its default, as text."""
    table = arm_table(session)
    table = table[table["ablation"] == ablation]
    if table.empty:
        return pd.DataFrame([{"setting": ABSENT}])
    compared = {
        (model, arm.name): pair
        for model, arm, pair in comparisons(session)
        if arm.factor == ablation
    }
    rows = []
    for model, part in table.groupby("model", sort=False):
        for level, values in part.groupby("level", sort=False)["value"]:
            pair = compared.get((model, level))
            rows.append(
                {
                    "model": model,
                    "setting": level,
                    "result": mean_with_sd(values.mean(), values.std()),
                    "minus": pair.second if pair else "",
                    "difference": difference_text(pair) if pair else "",
                }
            )
    return pd.DataFrame(rows)


def imaginary_table(session: Session[BlockAblationSettings]) -> pd.DataFrame:
    """What the imaginary part of the trained blocks of A1 holds, and what it does to them alone.

    Columns: blocks (their setting), residue, shift, retrained; each the largest of all modalities
    and repeats. No rows where A1 is not part of the run.
    """
    alone = {
        (o.facts["level"], o.modalities, o.repeat): o
        for o in session.outcomes
        if o.method == LEGO_BLOCK and o.facts.get("ablation") == "A1"
    }
    twins = {arm.reference: arm.name for arm in _arms(session, "A1") if _is_untracked(arm)}
    groups = {arm.name: arm.title for arm in _arms(session, "A1") if arm.name == arm.reference}
    rows = [
        {
            "blocks": groups[level],
            "residue": o.facts[RESIDUE],
            "shift": o.facts[SHIFT],
            "retrained": _gap(o, alone[twins[level], names, repeat]),
        }
        for (level, names, repeat), o in alone.items()
        if level in groups
    ]
    columns = ["blocks", "residue", "shift", "retrained"]
    return pd.DataFrame(rows, columns=columns).groupby("blocks", sort=False, as_index=False).max()


def _is_untracked(arm: Configuration) -> bool:
    """Whether an arm differs from its reference in the tracking of the imaginary part alone."""
    return bool(arm.options["frequency_domain"]) and not arm.options["track_imaginary"]


def _gap(one: Outcome, other: Outcome) -> float:
    """Largest difference of two outcomes' predictions on the same samples."""
    name = "risk" if "risk" in one.prediction else "probability"
    return float(np.abs(one.prediction[name] - other.prediction[name]).max())


def imaginary_page(session: Session[BlockAblationSettings]) -> pd.DataFrame:
    """The table of the imaginary part with headings for readers."""
    table = imaginary_table(session)
    if table.empty:
        return pd.DataFrame([{"setting": ABSENT}])
    numbers = table.iloc[:, 1:].map("{:.1e}".format)
    headings = (
        "share of Im Z from the data",
        "tracking switched off after training: shift of a logit (sd)",
        "trained without tracking: change of a prediction",
    )
    return numbers.set_axis(headings, axis=1).assign(blocks=table["blocks"])[["blocks", *headings]]


def imaginary(session: Session[BlockAblationSettings]) -> str:
    """Whether the imaginary part ever sees the data, in sentences."""
    table = imaginary_table(session).set_index("blocks")
    if table.empty:
        return ABSENT
    residue, unscaled = table["residue"].max(), table.loc[UNSCALED]
    shifts = ", ".join(f"{name} {value:.1e}" for name, value in table["shift"].items())
    scaled = table.drop(index=UNSCALED)["retrained"]
    sees = "never sees the data" if residue < ROUNDING else "holds something of the data"
    equal = "the same model" if unscaled["retrained"] < ROUNDING else "another model"
    return (
        f"* The imaginary part {sees}: after all passes, at most {residue:.1e} of it is anything "
        "but the transformed start latent, times a number.\n"
        "* Switched off in trained blocks, tracking shifts a logit by at most so many standard "
        f"deviations: {shifts}.\n"
        f"* Without normalization, training with and without tracking gives {equal} of each "
        f"modality (predictions differ by {unscaled['retrained']:.1e}); with it they differ by up "
        f"to {scaled.max():.1e}, through the norm alone.\n"
        "* A merge reads it through the phases; but up to its scale it is the same for every "
        "patient."
    )


def odd_bars(table: pd.DataFrame) -> Figure:
    """Readers on the odd and the even target."""
    ordered = table.sort_values("target", key=lambda c: c != ODD, kind="stable")
    return figures.ablation_bars(
        ordered.assign(label=ordered["label"] + ": " + ordered["target"]), metric="auc"
    )


def odd_conclusion(table: pd.DataFrame) -> str:
    """What each reader makes of the odd and the even target."""
    means = table.groupby(["target", "label"], sort=False)["value"].mean()
    odd, even = means[ODD], means[EVEN]
    blind = [name for name in odd.index if odd[name] < BLIND < even[name]]
    others = odd.drop(index=blind)
    text = (
        f"Mean area under the curve on the target of the odd part: {_listed(odd)}; of the even "
        f"part: {_listed(even)}. "
    )
    if not blind:
        return f"{text}All readers learned both."
    behind = (
        " An encoder in front can put what counts into the even part of its output, which is why "
        "wrapped blocks need not suffer."
        if BEHIND_ENCODER in others.index
        else ""
    )
    return (
        f"{text}Blind to the odd part, but not to the even one: {', '.join(blind)}; the worst of "
        f"the others has {others.min():.3f} there.{behind}"
    )


def _listed(values: pd.Series) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in values.items())


def answer(session: Session[BlockAblationSettings]) -> str:
    """Which changes of the block a merge notices, in two sentences."""
    return _decided(_of_merge(session))


def _of_merge(
    session: Session[BlockAblationSettings],
) -> list[tuple[Configuration, pairing.Paired]]:
    return [(arm, pair) for model, arm, pair in comparisons(session) if model == MERGE]


def conclusion(session: Session[BlockAblationSettings]) -> str:
    """The conclusion of the notebook."""
    compared = _of_merge(session)
    lines = [_decided(compared), *_ranges(session)]
    if any(arm.factor == "A1" for arm, _ in compared):
        lines.append(_tracking_line(compared))
    return "\n".join(f"* {line}" for line in lines)


def _decided(compared: Sequence[tuple[Configuration, pairing.Paired]]) -> str:
    """Which settings of LegoMerge matter beyond chance."""
    if not compared:
        return "Nothing was changed in this run. So nothing can be said about changes."
    fewest = min(pair.n for _, pair in compared)
    largest, pair = max(compared, key=lambda row: abs(row[1].mean))
    size = (
        f"The largest difference is that of '{largest.name}' to '{largest.reference}' "
        f"({largest.factor}): {pair.mean:+.3f}."
    )
    if fewest < pairing.FEWEST_REPEATS:
        return (
            f"With {pairing.counted(fewest, 'repeat')}, too few, none of "
            f"{pairing.counted(len(compared), 'change')} of LegoMerge can be told from chance. "
            f"{size}"
        )
    names = [
        f"{arm.factor}, {arm.name} ({found.mean:+.3f}, p = {found.p_value:.2g})"
        for arm, found in compared
        if found.decided
    ]
    what = "; ".join(names) if names else "none"
    return (
        f"Of {pairing.counted(len(compared), 'change')} of LegoMerge, those that differ from their "
        f"default by more than chance after Holm's correction: {what}. {size}"
    )


def _ranges(session: Session[BlockAblationSettings]) -> list[str]:
    """How far the settings of each ablation lie apart, against how much a split moves them."""
    table = arm_table(session)
    lines = []
    for ablation, part in table[table["model"] == MERGE].groupby("ablation", sort=False):
        ranked = pairing.means(part)
        best, worst = ranked.iloc[0], ranked.iloc[-1]
        line = (
            f"{TITLES[ablation]} ({ablation}): from {worst['mean']:.3f} ({ranked.index[-1]}) to "
            f"{best['mean']:.3f} ({ranked.index[0]})"
        )
        spread = ranked["std"].mean()
        if np.isfinite(spread):
            line += f"; a typical standard deviation from split to split is {spread:.3f}"
        lines.append(f"{line}.")
    return lines


def _tracking_line(compared: Sequence[tuple[Configuration, pairing.Paired]]) -> str:
    """What tracking is worth to a merge, by group."""
    found = [
        f"{arm.title} {-pair.mean:+.3f}"
        for arm, pair in compared
        if arm.factor == "A1" and _is_untracked(arm)
    ]
    return (
        f"Tracking the imaginary part is worth to a merge: {', '.join(found)}. Where it is not "
        "tracked or nothing is transformed, latents are real, and entries of opposite signs merge "
        "to a real part of 0, so these arms read a sparser latent as well."
    )


def _arms(session: Session[BlockAblationSettings], ablation: str) -> list[Configuration]:
    return [arm for arm in arms(session.settings) if arm.factor == ablation]


def _changed(found: Sequence[Configuration]) -> list[Configuration]:
    """The arms that are compared with another one."""
    return [arm for arm in found if arm.name != arm.reference]
