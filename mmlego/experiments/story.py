"""The sentences of a notebook's page: every number in them is computed from the run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mmlego.data import Cohort
from mmlego.experiments import pairing, views
from mmlego.experiments.comparisons import separate
from mmlego.experiments.outcome import Outcome
from mmlego.experiments.published import dataset_of, published_for
from mmlego.experiments.session import FoldModels, Session
from mmlego.figures import style

FEW_EVENTS = 10


def data(session: Session) -> str:
    """What the cohort is: size, events or classes, follow-up, caps, and the splits."""
    cohort, settings = session.cohort, session.settings
    unit = "patients" if settings.split_unit == "patient" else "rows (a patient can have several)"
    lines = [f"**{cohort.title}**: {cohort.n} {unit}, {target_sentence(cohort)}."]
    if cohort.capped_from:
        lines.append(
            f"Capped: {cohort.n} of {cohort.capped_from} samples were drawn, to fit a small "
            "machine."
        )
    lines.append(
        f"{settings.repeats} random splits into training, validation and test "
        f"({len(session.folds[0].train)}, {len(session.folds[0].val)} and "
        f"{len(session.folds[0].test)} in the first), "
        f"at most {settings.epochs} epochs, profile `{settings.profile}`."
    )
    return "\n".join(lines) + f"\n\n{caveats(session)}"


def target_sentence(cohort: Cohort) -> str:
    """Events and follow-up, or counts of classes."""
    if cohort.task == "survival":
        events = int(cohort.target.event.sum())
        return (
            f"{events} with an observed event ({events / cohort.n:.0%}), "
            f"median observed time {np.median(cohort.target.time):.1f} {cohort.target.unit}"
        )
    counts = np.bincount(cohort.target.label, minlength=len(cohort.target.classes))
    return ", ".join(
        f"{count} {name}" for name, count in zip(cohort.target.classes, counts, strict=True)
    )


def caveats(session: Session) -> str:
    """What a reader must know before reading on: few events, row splits."""
    found = []
    if session.cohort.task == "survival":
        events = [int(fold.test.target["event"].sum()) for fold in session.folds]
        if min(events) < FEW_EVENTS:
            found.append(
                f"Test parts hold as few as {min(events)} events: a C-index of these is very "
                "uncertain."
            )
    if session.settings.split_unit == "row":
        found.append(
            "Splits are by row, as published: a patient can be in training and test, so these "
            "numbers flatter every method."
        )
    return "\n".join(f"> **Take care.** {text}\n" for text in found)


def sizes(session: Session) -> str:
    """Sizes of the trained models and how long their training took."""
    rows = pd.DataFrame(
        {
            "model": views.METHOD_NAMES[o.method] + (f" ({o.variant})" if o.variant else ""),
            "parameters": o.facts["n_parameters"],
            "seconds": o.seconds,
            "best": o.facts["best_epoch"],
        }
        for o in session.outcomes
    )
    total = rows["seconds"].sum()
    groups = rows.groupby("model", sort=False)
    parts = [
        f"{name} {part['parameters'].min():,} to {part['parameters'].max():,}"
        if part["parameters"].nunique() > 1
        else f"{name} {part['parameters'].iloc[0]:,}"
        for name, part in groups
    ]
    return (
        f"{len(rows)} fits took {total:.0f} s of training.\n"
        f"Trainable parameters: {'; '.join(parts)}.\n"
        f"The median fit kept the weights of epoch {rows['best'].median():.0f}."
    )


def ratio(session: Session) -> float:
    """Test samples per training sample, which corrects intervals for overlapping training sets."""
    fold = session.folds[0]
    return len(fold.test) / len(fold.train)


def published_label(cohort: Cohort, split_unit: str) -> str:
    """Legend text of published values for a cohort."""
    dataset = dataset_of(cohort.card)
    rows = published_for(dataset, split_unit)
    if rows.empty:
        return "published"
    return (
        "published (row-level split)"
        if dataset.startswith("TCGA")
        else ("published (other patients)")
    )


def metrics_table(session: Session) -> pd.DataFrame:
    """All metrics of all models: mean ± standard deviation (n)."""
    tables = views.tables_of(session.cohort)
    rows = [
        {"model": views.label(o, tables), "metric": style.title(name), "value": value}
        for o in session.outcomes
        for name, value in o.metrics.items()
    ]
    found = (
        pd.DataFrame(rows)
        .groupby(["model", "metric"], sort=False)["value"]
        .agg(["mean", "std", "count"])
    )
    text = [_spread(mean, std, count) for mean, std, count in found.to_numpy()]
    return pd.Series(text, index=found.index).unstack("metric", sort=False).reset_index()


def _spread(mean: float, std: float, count: float) -> str:
    if not np.isfinite(mean):
        return "undefined"
    return f"{mean:.3f} ± {std:.3f}" if count > 1 else f"{mean:.3f}"


def chosen(session: Session) -> str:
    """Which model the closer look shows."""
    from mmlego.experiments.closeups import shown_outcomes

    outcomes = shown_outcomes(session)
    return f"Shown: **{views.label(outcomes[0], views.tables_of(session.cohort))}**."


def blocks(folds: Sequence[FoldModels], variant: str) -> str:
    """Which blocks were found."""
    names = separate(folds[0])
    losses = {
        name: np.mean(
            [models.block_outcomes(variant)[name].facts["best_val_loss"] for models in folds]
        )
        for name in names
    }
    listed = "; ".join(
        f"`{name}` {losses[name]:.3f}" for name in sorted(names, key=losses.__getitem__)
    )
    return (
        f"{len(folds)} splits, each with blocks for {', '.join(f'`{name}`' for name in names)} "
        f"(variant `{variant}`).\n"
        f"Mean validation losses, best first: {listed}.\n"
    )


def paired(folds: Sequence[FoldModels]) -> str:
    """How many training samples have every modality."""
    names = separate(folds[0])
    counts = [len(models.fold.train.having(names, how="all")) for models in folds]
    totals = [len(models.fold.train) for models in folds]
    return (
        f"On average {np.mean(counts):.0f} of {np.mean(totals):.0f} training samples have every "
        "modality and can be used for tuning.\n"
    )


def unimodal(session: Session) -> str:
    """The conclusion of the notebook `unimodal`."""
    tables = views.tables_of(session.cohort)
    metric = views.main_metric(session.cohort)
    table = views.value_table(session.outcomes, metric, lambda o: views.label(o, tables))
    ranked = pairing.means(table)
    best = ranked.index[0]
    lines = [_top(ranked, metric)]
    lines += _block_against_encoder(session, table, tables)
    lines.append(_spread_line(table, best))
    lines.append(published_lines(session, metric))
    return "\n".join(f"* {line}" for line in lines if line)


def _top(ranked: pd.DataFrame, metric: str) -> str:
    first = ranked.iloc[0]
    return (
        f"The highest mean {style.title(metric)} is {_spread(*first)} of **{ranked.index[0]}**, "
        f"the lowest {_spread(*ranked.iloc[-1])} of {ranked.index[-1]}. "
        "The best of many rows is partly the luckiest: choose by validation, not by this table."
    )


def _block_against_encoder(session: Session, table: pd.DataFrame, tables: list[str]) -> list[str]:
    """For every modality, whether wrapping its encoder changes anything."""
    by_modality: dict[str, dict[str, str]] = {}
    for o in session.outcomes:
        kind = "encoder" if o.method != "lego_block" else o.variant
        by_modality.setdefault(o.joined, {})[kind] = views.label(o, tables)
    lines = []
    for labels in by_modality.values():
        if {"encoder", "wrapped"} <= set(labels):
            found = pairing.compare(table, labels["wrapped"], labels["encoder"])
            lines.append(pairing.sentence(found))
    return lines


def _spread_line(table: pd.DataFrame, best: str) -> str:
    values = table.loc[table["label"] == best, "value"]
    if len(values) < 2:
        return "One repeat only: nothing here says how much a number would move on another split."
    return (
        f"From split to split the same model ({best}) moves between {values.min():.3f} and "
        f"{values.max():.3f}, "
        "which is the scale against which every difference on this page has to be read."
    )


def published_lines(session: Session, metric: str) -> str:
    """How our numbers stand to the published ones, and whether that can be said at all."""
    frame = views.forest_table(
        session.outcomes, metric, session.cohort, session.settings.split_unit
    )
    if "published" not in frame or frame["published"].isna().all():
        return ""
    known = frame.dropna(subset=["published"]).groupby("label", sort=False)
    parts = [
        f"{name} {part['value'].mean():.3f} (published {part['published'].iloc[0]:.3f})"
        for name, part in known
    ]
    why = published_for(dataset_of(session.cohort.card), session.settings.split_unit)
    reasons = sorted(set(why.loc[~why["comparable"], "why"]))
    same = frame.dropna(subset=["published"])["comparable"].all()
    tail = "same tables, same kind of split" if same else "; ".join(reasons)
    word = "Comparable" if same else "Not comparable"
    return f"Beside the published numbers: {'; '.join(parts)}. {word}: {tail}."


def merge_against(rivals: Sequence[Outcome], metric: str) -> str:
    """Merge against the best block and against ensembles, as sentences."""
    table = views.value_table(rivals, metric, views.method_label)
    merged = "LegoMerge"
    others = [name for name in dict.fromkeys(table["label"]) if name != merged]
    return "\n".join(
        f"* {pairing.sentence(pairing.compare(table, merged, name))}" for name in others
    )


def merge(
    session: Session,
    rivals: Sequence[Outcome],
    operators: Sequence[Outcome],
    heads: Sequence[Outcome],
) -> str:
    """The conclusion of the notebook `merge`."""
    metric = views.main_metric(session.cohort)
    table = views.value_table(rivals, metric, views.method_label)
    block = next(name for name in table["label"] if name.startswith("LegoBlock"))
    ensemble = next(name for name in table["label"] if name.startswith("Ensemble"))
    lines = [
        verdict(pairing.compare(table, "LegoMerge", block), "Merging", "the best single block"),
        verdict(
            pairing.compare(table, "LegoMerge", ensemble),
            "Merging",
            "averaging the encoders' outputs",
        ),
        _ablation_line(operators, metric, "operator", "harmonic, arithmetic phase"),
        _ablation_line(heads, metric, "head", "slerp"),
        "A row on the ablation plots is one of many looked at, so a single interval that leaves "
        "zero is weak evidence.",
    ]
    return "\n".join(f"* {line}" for line in lines)


def verdict(found: pairing.Paired, what: str, rival: str) -> str:
    """Say plainly who wins, or that nobody does."""
    if found.n < pairing.FEWEST_REPEATS:
        return (
            f"{what} against {rival}: {found.mean:+.3f} over {found.n} repeats, too few to "
            "conclude anything; run more."
        )
    if not found.decided:
        side = "above" if found.mean > 0 else "below"
        return (
            f"{what} is {abs(found.mean):.3f} {side} {rival} on average, with an interval from "
            f"{found.lower:+.3f} "
            f"to {found.upper:+.3f}: on these {found.n} repeats it neither wins nor loses."
        )
    word = "beats" if found.mean > 0 else "loses to"
    size = f"{abs(found.mean):.3f} (p = {found.p_value:.2g}, {found.n} repeats)"
    return f"{what} {word} {rival} by {size}."


def _ablation_line(outcomes: Sequence[Outcome], metric: str, kind: str, default: str) -> str:
    table = views.value_table(outcomes, metric, lambda o: o.variant.partition(": ")[2])
    ranked = pairing.means(table)
    best = str(ranked.index[0])
    if best == default:
        return (
            f"The default {kind} ({default}) has the highest mean of the {len(ranked)} tried, "
            f"{ranked.iloc[0]['mean']:.3f}."
        )
    return (
        f"Of {len(ranked)} settings of the {kind}, {best} has the highest mean "
        f"({ranked.iloc[0]['mean']:.3f}; "
        f"default {ranked.loc[default, 'mean']:.3f}). "
        f"{pairing.sentence(pairing.compare(table, best, default))}"
    )


def fuse_against(rivals: Sequence[Outcome], metric: str) -> str:
    """The tuned stack against its rivals, as sentences."""
    table = views.value_table(rivals, metric, views.method_label)
    stacked = "LegoFuse (stack, 2 epochs)"
    if stacked not in set(table["label"]):
        return "Two tuning epochs, the published setting, are not among the numbers asked for."
    others = [name for name in dict.fromkeys(table["label"]) if name != stacked]
    return "\n".join(
        f"* {pairing.sentence(pairing.compare(table, stacked, name))}" for name in others
    )


def fuse(session: Session, rivals: Sequence[Outcome], ordered: Sequence[Outcome]) -> str:
    """The conclusion of the notebook `fuse`."""
    metric = views.main_metric(session.cohort)
    table = views.value_table(rivals, metric, views.method_label)
    names = set(table["label"])
    lines = []
    if "LegoFuse (stack, 2 epochs)" in names:
        block = next(name for name in table["label"] if name.startswith("LegoBlock"))
        lines = [
            verdict(
                pairing.compare(table, "LegoFuse (stack, 2 epochs)", block),
                "A tuned stack",
                "the best single block",
            ),
            verdict(
                pairing.compare(table, "LegoFuse (stack, 2 epochs)", "LegoMerge"),
                "A tuned stack",
                "the untuned merge",
            ),
        ]
    if {"LegoMerge (merge, 2 epochs)", "LegoMerge"} <= names:
        found = pairing.compare(table, "LegoMerge (merge, 2 epochs)", "LegoMerge")
        lines.append(verdict(found, "Tuning the merge for two epochs", "leaving it as it is"))
    ranked = pairing.means(
        views.value_table(ordered, metric, lambda o: o.variant.partition(": ")[2])
    )
    lines.append(
        f"Between the best and the worst of {len(ranked)} orders lie "
        f"{ranked['mean'].iloc[0] - ranked['mean'].iloc[-1]:.3f}; "
        f"a typical repeat-to-repeat standard deviation of one order is {ranked['std'].mean():.3f}."
    )
    return "\n".join(f"* {line}" for line in lines)
