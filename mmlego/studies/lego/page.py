"""Sentences of the notebooks `unimodal`, `merge` and `fuse`, computed from the run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mmlego.bench.fold_bench import Bench
from mmlego.bench.inputs import separate_names
from mmlego.bench.outcome import Outcome
from mmlego.bench.settings import BlockSettings
from mmlego.data.cards.card import published_entry
from mmlego.data.cohorts.cohort import tables_of
from mmlego.figures import style
from mmlego.learning.metrics.scores import main_metric
from mmlego.learning.statistics import pairing
from mmlego.methods.names import LEGO_BLOCK
from mmlego.methods.registry import titled
from mmlego.reporting import answers
from mmlego.reporting import outcomes as outcome_tables
from mmlego.reporting.predictions import shown_outcomes
from mmlego.reporting.published import has_published, published_for, role_of
from mmlego.reporting.sentences import verdict
from mmlego.reporting.tables import mean_of
from mmlego.runs.session import Session
from mmlego.studies.lego.run import ablation_table

MERGED, TUNED_MERGE = "LegoMerge", "LegoMerge (2 epochs)"
STACKED = "LegoFuse (stack, 2 epochs)"


def sizes(session: Session[BlockSettings]) -> str:
    """Sizes of the trained models and how long their training took."""
    rows = pd.DataFrame(
        {
            "model": titled(o.method) + (f" ({o.arm})" if o.arm else ""),
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


def chosen(session: Session[BlockSettings]) -> str:
    """Which model the closer look shows."""
    outcomes = shown_outcomes(session)
    text = f"Shown: **{outcome_tables.label(outcomes[0], tables_of(session.cohort))}**."
    if session.settings.split_unit == "row":
        text += " Other rows of the same patient may have been in its training part."
    return text


def paired(benches: Sequence[Bench]) -> str:
    """How many training samples have every modality."""
    names = separate_names(benches[0].fold)
    counts = [len(bench.fold.train.where_present(names, how="all")) for bench in benches]
    totals = [len(bench.fold.train) for bench in benches]
    return (
        f"On average {np.mean(counts):.0f} of {np.mean(totals):.0f} training samples have every "
        "modality and can be used for tuning.\n"
    )


def unimodal(session: Session[BlockSettings]) -> str:
    """The conclusion of the notebook `unimodal`."""
    tables = tables_of(session.cohort)
    metric = main_metric(session.cohort)
    table = outcome_tables.value_table(
        session.outcomes, metric, lambda o: outcome_tables.label(o, tables)
    )
    ranked = pairing.means(table)
    lines = [_top(ranked, metric), _spread_line(table, ranked.index[0])]
    lines += published_lines(session, metric)
    listed = "\n".join(f"* {line}" for line in lines if line)
    against = pairing.sentences(_blocks_against_encoders(session, table, tables))
    return f"{listed}\n\nWhat wrapping an encoder in a block changes:\n\n{against}"


def unimodal_answer(session: Session) -> str:
    """The answer of the notebook `unimodal`: the model to choose, and what wrapping changes."""
    tables, metric = tables_of(session.cohort), main_metric(session.cohort)
    table = outcome_tables.value_table(
        session.outcomes, metric, lambda o: outcome_tables.label(o, tables)
    )
    ranked = pairing.means(table)
    first = outcome_tables.label(shown_outcomes(session)[0], tables)
    pairs = _blocks_against_encoders(session, table, tables)
    changes = [pair.mean for pair in pairs]
    repeats = pairing.counted(len(session.folds), "repeat")
    return (
        f"Chosen by validation loss, **{first}** reaches a mean {style.word(metric)} of "
        f"{mean_of(ranked, first)} over {repeats}, where the highest of all "
        f"{len(ranked)} rows is {ranked['mean'].iloc[0]:.3f}. "
        f"Wrapping the encoder of a modality in a block changes it by {np.mean(changes):+.3f} on "
        f"average over {pairing.counted(len(pairs), 'input')}, from {min(changes):+.3f} to "
        f"{max(changes):+.3f}, and {sum(pair.decided for pair in pairing.adjust(pairs))} of these "
        "changes can be told from chance."
    )


def merge_answer(session: Session, rivals: Sequence[Outcome]) -> str:
    """The answer of the notebook `merge`: the merge, the best block, and the ensemble."""
    return _answer(session, rivals, MERGED, "LegoBlock", "Ensemble")


def fuse_answer(session: Session, rivals: Sequence[Outcome]) -> str:
    """The answer of the notebook `fuse`: the tuned stack, the best block, and the merge."""
    return _answer(session, rivals, STACKED, "LegoBlock", MERGED)


def _answer(session: Session, rivals: Sequence[Outcome], first: str, *others: str) -> str:
    metric = main_metric(session.cohort)
    table = outcome_tables.value_table(rivals, metric, outcome_tables.method_label)
    return answers.against(table, metric, first, [_first(table, other) for other in others])


def _top(ranked: pd.DataFrame, metric: str) -> str:
    best = ranked.index[0]
    return (
        f"The highest mean {style.title(metric)} is {mean_of(ranked, best)} of **{best}**, "
        f"the lowest {mean_of(ranked, ranked.index[-1])} of {ranked.index[-1]}. "
        "The best of many rows is partly the luckiest: choose by validation, not by this table."
    )


def _blocks_against_encoders(
    session: Session[BlockSettings], table: pd.DataFrame, tables: list[str]
) -> list[pairing.Paired]:
    """For every modality, the wrapped block against its encoder."""
    by_modality: dict[str, dict[str, str]] = {}
    for o in session.outcomes:
        kind = "encoder" if o.method != LEGO_BLOCK else o.arm
        by_modality.setdefault(o.modality_key, {})[kind] = outcome_tables.label(o, tables)
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


def published_lines(session: Session[BlockSettings], metric: str) -> list[str]:
    """Our numbers beside the published ones, one line for each reason why (not) to compare them."""
    cohort, unit = session.cohort, session.settings.split_unit
    tables = tables_of(cohort)
    why = published_for(published_entry(cohort.card), tables, unit)
    why = why.set_index(["method", "role"])
    groups: dict[str, dict[str, list[float]]] = {}
    for o in session.outcomes:
        key = (o.method, role_of(o.modalities, tables))
        if key in why.index and has_published(o.labels):
            known = why.loc[key]
            word = "Comparable" if known["comparable"] else "Not comparable"
            name = f"{outcome_tables.label(o, tables)} (published {known['published']:.3f})"
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
    table = outcome_tables.value_table(rivals, metric, outcome_tables.method_label)
    others = [name for name in dict.fromkeys(table["label"]) if name != first]
    if first not in set(table["label"]):
        return f"{first} is not among the settings asked for, so nothing is compared with it."
    return pairing.sentences([pairing.compare(table, first, name) for name in others])


def merge(
    session: Session[BlockSettings],
    rivals: Sequence[Outcome],
    operators: Sequence[Outcome],
    heads: Sequence[Outcome],
) -> str:
    """The conclusion of the notebook `merge`."""
    metric = main_metric(session.cohort)
    table = outcome_tables.value_table(rivals, metric, outcome_tables.method_label)
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


def fuse(
    session: Session[BlockSettings], rivals: Sequence[Outcome], ordered: Sequence[Outcome]
) -> str:
    """The conclusion of the notebook `fuse`."""
    metric = main_metric(session.cohort)
    table = outcome_tables.value_table(rivals, metric, outcome_tables.method_label)
    lines = _verdicts(
        table,
        (STACKED, _first(table, "LegoBlock"), "A tuned stack", "the best single block"),
        (STACKED, MERGED, "A tuned stack", "the untuned merge"),
        (TUNED_MERGE, MERGED, "Tuning the merge for two epochs", "leaving it as it is"),
    )
    orders = ablation_table(ordered, metric)
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


def _ablation_line(outcomes: Sequence[Outcome], metric: str, kind: str, default: str) -> str:
    """The best setting of an ablation against the default, corrected for having picked it."""
    table = ablation_table(outcomes, metric)
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
