"""The sentences of a notebook's page: every number in them is computed from the run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mmlego.data import Cohort
from mmlego.experiments import pairing, views
from mmlego.experiments.closeups import shown_outcomes
from mmlego.experiments.comparisons import separate
from mmlego.experiments.outcome import Outcome
from mmlego.experiments.published import has_published, published_entry, published_for, role_of
from mmlego.experiments.session import FoldModels, Session
from mmlego.figures import style

FEW_EVENTS = 10
MERGED, TUNED_MERGE = "LegoMerge", "LegoMerge (merge, 2 epochs)"
STACKED = "LegoFuse (stack, 2 epochs)"


def data(session: Session) -> str:
    """What the cohort is: size, events or classes, follow-up, caps, and the splits."""
    cohort, settings = session.cohort, session.settings
    noun = "patients" if cohort.card is None else cohort.card.samples
    unit = "rows (a patient can have several)" if settings.split_unit == "row" else noun
    lines = [f"**{cohort.title}**: {cohort.n} {unit}, {target_sentence(cohort)}."]
    if cohort.capped_from:
        lines.append(
            f"Capped: {cohort.n} of {cohort.capped_from} samples were drawn, to fit a small "
            "machine."
        )
    lines.append(
        f"{_division(session)}, at most {pairing.counted(settings.epochs, 'epoch')}, profile "
        f"`{settings.profile}`."
    )
    return "\n".join(lines) + f"\n\n{caveats(session)}"


def _division(session: Session) -> str:
    """How the samples are divided, with the sizes of the first division."""
    settings, fold = session.settings, session.folds[0]
    sizes = f"{len(fold.train)}, {len(fold.val)} and {len(fold.test)}"
    if settings.split_unit == "official_full":
        return (
            f"The publisher's division, {len(fold.train)} training and {len(fold.test)} test "
            f"samples without a validation part, with {pairing.counted(settings.repeats, 'seed')}"
        )
    if settings.split_unit == "official":
        return (
            f"The publisher's test part, and {pairing.counted(settings.repeats, 'random draw')} of "
            f"a validation part out of the training part ({sizes} in the first)"
        )
    if settings.split_unit == "donor":
        return (
            f"{pairing.counted(settings.repeats, 'donor')} held out in turn, with a random "
            f"validation part of the others ({sizes} in the first)"
        )
    return (
        f"{pairing.counted(settings.repeats, 'random split')} into training, validation and test "
        f"({sizes} in the first)"
    )


def fixed_test(session: Session) -> bool:
    """Whether all repeats are tested on the same samples, so that they differ by chance alone."""
    return session.settings.split_unit.startswith("official")


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
    if fixed_test(session):
        found.append(
            "All repeats share one test part: they show how much the seed matters, and nothing "
            "about other patients, so there are no intervals and no p-values here."
        )
    if session.settings.split_unit == "row":
        found.append(
            "Splits are by row, as published: a patient can be in training and test, so these "
            "numbers can flatter a method."
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
    entry = published_entry(cohort.card)
    rows = published_for(entry, views.tables_of(cohort), split_unit)
    if rows.empty:
        return "published"
    return (
        "published (row-level split)"
        if entry["dataset"].startswith("TCGA")
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
    outcomes = shown_outcomes(session)
    text = f"Shown: **{views.label(outcomes[0], views.tables_of(session.cohort))}**."
    if session.settings.split_unit == "row":
        text += " Other rows of the same patient may have been in its training part."
    return text


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
    lines = [_top(ranked, metric), _spread_line(table, ranked.index[0])]
    lines += published_lines(session, metric)
    listed = "\n".join(f"* {line}" for line in lines if line)
    against = pairing.sentences(_blocks_against_encoders(session, table, tables))
    return f"{listed}\n\nWhat wrapping an encoder in a block changes:\n\n{against}"


def _top(ranked: pd.DataFrame, metric: str) -> str:
    first = ranked.iloc[0]
    return (
        f"The highest mean {style.title(metric)} is {_spread(*first)} of **{ranked.index[0]}**, "
        f"the lowest {_spread(*ranked.iloc[-1])} of {ranked.index[-1]}. "
        "The best of many rows is partly the luckiest: choose by validation, not by this table."
    )


def _blocks_against_encoders(
    session: Session, table: pd.DataFrame, tables: list[str]
) -> list[pairing.Paired]:
    """For every modality, the wrapped block against its encoder."""
    by_modality: dict[str, dict[str, str]] = {}
    for o in session.outcomes:
        kind = "encoder" if o.method != "lego_block" else o.variant
        by_modality.setdefault(o.joined, {})[kind] = views.label(o, tables)
    return [
        pairing.compare(table, labels["wrapped"], labels["encoder"])
        for labels in by_modality.values()
        if {"encoder", "wrapped"} <= set(labels)
    ]


def _spread_line(table: pd.DataFrame, best: str) -> str:
    values = table.loc[table["label"] == best, "value"]
    if len(values) < 2:
        return "One repeat only: nothing here says how much a number would move on another split."
    return (
        f"From split to split the same model ({best}) moves between {values.min():.3f} and "
        f"{values.max():.3f}, "
        "which is the scale against which every difference on this page has to be read."
    )


def published_lines(session: Session, metric: str) -> list[str]:
    """Our numbers beside the published ones, one line for each reason why (not) to compare them."""
    cohort, unit = session.cohort, session.settings.split_unit
    tables = views.tables_of(cohort)
    why = published_for(published_entry(cohort.card), tables, unit)
    why = why.set_index(["method", "role"])
    groups: dict[str, dict[str, list[float]]] = {}
    for o in session.outcomes:
        key = (o.method, role_of(o.modalities, tables))
        if key in why.index and has_published(o.variant):
            known = why.loc[key]
            word = "Comparable" if known["comparable"] else "Not comparable"
            name = f"{views.label(o, tables)} (published {known['published']:.3f})"
            group = groups.setdefault(f"{word} with the published numbers, {known['why']}", {})
            group.setdefault(name, []).append(o.metrics[metric])
    return [
        f"{reason}: " + "; ".join(f"{name} {np.nanmean(v):.3f}" for name, v in rows.items()) + "."
        for reason, rows in groups.items()
    ]


def merge_against(rivals: Sequence[Outcome], metric: str) -> str:
    """Merge against the best block and against ensembles, as sentences."""
    return _against(rivals, metric, MERGED)


def fuse_against(rivals: Sequence[Outcome], metric: str) -> str:
    """The tuned stack against its rivals, as sentences."""
    return _against(rivals, metric, STACKED)


def _against(rivals: Sequence[Outcome], metric: str, first: str) -> str:
    table = views.value_table(rivals, metric, views.method_label)
    others = [name for name in dict.fromkeys(table["label"]) if name != first]
    if first not in set(table["label"]):
        return f"{first} is not among the settings asked for, so nothing is compared with it."
    return pairing.sentences([pairing.compare(table, first, name) for name in others])


def merge(
    session: Session,
    rivals: Sequence[Outcome],
    operators: Sequence[Outcome],
    heads: Sequence[Outcome],
) -> str:
    """The conclusion of the notebook `merge`."""
    metric = views.main_metric(session.cohort)
    table = views.value_table(rivals, metric, views.method_label)
    lines = _verdicts(
        table,
        (MERGED, _first(table, "LegoBlock"), "Merging", "the best single block"),
        (MERGED, _first(table, "Ensemble"), "Merging", "averaging the encoders' outputs"),
    )
    lines += [
        _ablation_line(operators, metric, "operator", "harmonic, arithmetic phase"),
        _ablation_line(heads, metric, "head", "slerp"),
    ]
    return "\n".join(f"* {line}" for line in lines)


def fuse(session: Session, rivals: Sequence[Outcome], ordered: Sequence[Outcome]) -> str:
    """The conclusion of the notebook `fuse`."""
    metric = views.main_metric(session.cohort)
    table = views.value_table(rivals, metric, views.method_label)
    lines = _verdicts(
        table,
        (STACKED, _first(table, "LegoBlock"), "A tuned stack", "the best single block"),
        (STACKED, MERGED, "A tuned stack", "the untuned merge"),
        (TUNED_MERGE, MERGED, "Tuning the merge for two epochs", "leaving it as it is"),
    )
    orders = views.value_table(ordered, metric, lambda o: o.variant.partition(": ")[2])
    lines.append(_orders_line(pairing.means(orders)))
    return "\n".join(f"* {line}" for line in lines)


def _orders_line(ranked: pd.DataFrame) -> str:
    """How much the order of the blocks matters, against how much the split does."""
    if len(ranked) < 2:
        return "Only one order was tried, so nothing is said about orders."
    gap = ranked["mean"].iloc[0] - ranked["mean"].iloc[-1]
    return (
        f"Between the best and the worst of {len(ranked)} orders lie {gap:.3f}; a typical "
        f"repeat-to-repeat standard deviation of one order is {ranked['std'].mean():.3f}."
    )


def _first(table: pd.DataFrame, start: str) -> str:
    """The first label that starts so."""
    return next(name for name in table["label"] if name.startswith(start))


def _verdicts(table: pd.DataFrame, *asked: tuple[str, str, str, str]) -> list[str]:
    """Verdicts on the pairs that the table has, with p-values corrected for their number."""
    names = set(table["label"])
    there = [row for row in asked if {row[0], row[1]} <= names]
    found = pairing.adjust([pairing.compare(table, a, b) for a, b, _, _ in there])
    return [verdict(pair, *row[2:]) for pair, row in zip(found, there, strict=True)]


def verdict(found: pairing.Paired, what: str, rival: str) -> str:
    """Say plainly who wins, or that nobody does."""
    count = pairing.counted(found.n, "repeat")
    if found.n < pairing.FEWEST_REPEATS:
        return (
            f"{what} against {rival}: {found.mean:+.3f} over {count}, too few to conclude "
            "anything; run more."
        )
    if not found.decided:
        side = "above" if found.mean > 0 else "below"
        return (
            f"{what} is {abs(found.mean):.3f} {side} {rival} on average, with an interval from "
            f"{found.lower:+.3f} to {found.upper:+.3f}: on these {count} it neither wins nor loses."
        )
    word = "beats" if found.mean > 0 else "loses to"
    return f"{what} {word} {rival} by {abs(found.mean):.3f} (p = {found.p_value:.2g}, {count})."


def _ablation_line(outcomes: Sequence[Outcome], metric: str, kind: str, default: str) -> str:
    """The best setting of an ablation against the default, corrected for having picked it."""
    table = views.value_table(outcomes, metric, lambda o: o.variant.partition(": ")[2])
    ranked = pairing.means(table)
    best, count = str(ranked.index[0]), len(ranked)
    if best == default:
        return (
            f"The default {kind}, '{default}', has the highest value of the {count} tried, "
            f"{ranked.iloc[0]['mean']:.3f}."
        )
    others = [name for name in ranked.index if name != default]
    found = pairing.adjust([pairing.compare(table, name, default) for name in others])
    return (
        f"Of {count} settings of the {kind}, '{best}' has the highest value "
        f"({ranked.iloc[0]['mean']:.3f}; default {ranked.loc[default, 'mean']:.3f}), picked by "
        f"test results. {pairing.sentence(found[others.index(best)])}"
    )
