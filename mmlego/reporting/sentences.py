"""The sentences of a notebook's page: every number in them is computed from the run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mmlego.bench.configurations import Configuration
from mmlego.bench.fold_bench import Bench
from mmlego.bench.inputs import separate_names
from mmlego.bench.settings import BlockSettings
from mmlego.bench.tuning.values import load_values
from mmlego.data import Cohort
from mmlego.data.cards.card import published_entry
from mmlego.data.cohorts.cohort import tables_of
from mmlego.data.cohorts.target import SurvivalTarget
from mmlego.figures import style
from mmlego.learning.statistics import pairing
from mmlego.reporting import outcomes as outcome_tables
from mmlego.reporting.published import published_for
from mmlego.reporting.tables import mean_with_sd
from mmlego.runs.session import Session
from mmlego.runs.settings import BenchmarkSettings, DisjointSettings, RobustnessSettings

FEW_EVENTS = 10


def data(session: Session[BlockSettings]) -> str:
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


def _division(session: Session[BlockSettings]) -> str:
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


def fixed_test(session: Session[BlockSettings]) -> bool:
    """Whether all repeats are tested on the same samples, so that they differ by chance alone."""
    return session.settings.split_unit.startswith("official")


def target_sentence(cohort: Cohort) -> str:
    """Events and follow-up, or counts of classes."""
    target = cohort.target
    if isinstance(target, SurvivalTarget):
        events = int(target.event.sum())
        return (
            f"{events} with an observed event ({events / cohort.n:.0%}), "
            f"median observed time {np.median(target.time):.1f} {target.unit}"
        )
    counts = np.bincount(target.label, minlength=len(target.classes))
    return ", ".join(f"{count} {name}" for name, count in zip(target.classes, counts, strict=True))


def caveats(session: Session[BlockSettings]) -> str:
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


def arm_list(arms: Sequence[Configuration]) -> str:
    """The configurations of a run, as a list."""
    return "\n".join(f"* `{arm.name}`: {arm.title}" for arm in arms)


def ratio(session: Session) -> float:
    """Test samples per training sample, which corrects intervals for overlapping training sets."""
    fold = session.folds[0]
    return len(fold.test) / len(fold.train)


def published_label(cohort: Cohort, split_unit: str) -> str:
    """Legend text of published values for a cohort."""
    entry = published_entry(cohort.card)
    rows = published_for(entry, tables_of(cohort), split_unit)
    if rows.empty:
        return "published"
    return (
        "published (row-level split)"
        if entry["dataset"].startswith("TCGA")
        else ("published (other patients)")
    )


def metrics_table(session: Session) -> pd.DataFrame:
    """All metrics of all models: mean ± standard deviation (n)."""
    tables = tables_of(session.cohort)
    rows = [
        {"model": outcome_tables.label(o, tables), "metric": style.title(name), "value": value}
        for o in session.outcomes
        for name, value in o.metrics.items()
    ]
    found = (
        pd.DataFrame(rows).groupby(["model", "metric"], sort=False)["value"].agg(["mean", "std"])
    )
    text = [mean_with_sd(mean, sd) for mean, sd in found.to_numpy()]
    return pd.Series(text, index=found.index).unstack("metric", sort=False).reset_index()


def blocks(benches: Sequence[Bench], variant: str) -> str:
    """Which blocks were found."""
    names = separate_names(benches[0].fold)
    losses = {
        name: np.mean(
            [bench.block(name, variant).outcome.facts["best_val_loss"] for bench in benches]
        )
        for name in names
    }
    listed = "; ".join(
        f"`{name}` {losses[name]:.3f}" for name in sorted(names, key=losses.__getitem__)
    )
    return (
        f"{len(benches)} splits, each with blocks for {', '.join(f'`{name}`' for name in names)} "
        f"(variant `{variant}`).\n"
        f"Mean validation losses, best first: {listed}.\n"
    )


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


def hyperparameters(
    session: Session[BenchmarkSettings | RobustnessSettings | DisjointSettings],
) -> str:
    """Whose hyper-parameters the run uses, with the values where they were searched."""
    settings = session.settings
    if settings.hyperparameters == "given":
        return (
            f"Hyper-parameters of every network: learning rate {settings.learning_rate:g}, L1 "
            f"{settings.l1:g}, batches of {settings.batch_size}, blocks of depth {settings.depth}; "
            "nothing was searched."
        )
    chosen = load_values(settings.hyperparameters, session.cohort.name)
    lines = [
        f"* {name}: validation loss {study['validation_loss']:.3f}"
        + (
            ""
            if study["validation_loss_given"] is None
            else f" ({study['validation_loss_given']:.3f} as given)"
        )
        + ", "
        + ", ".join(f"{key} {_short(value)}" for key, value in study["values"].items())
        for name, study in chosen.studies.items()
    ]
    trials = sorted({int(study["trials"]) for study in chosen.studies.values()})
    counts = f"{trials[0]} trials" if len(trials) == 1 else f"{trials[0]} to {trials[-1]} trials"
    return (
        f"Hyper-parameters were searched on validation parts, with {counts} for every network:\n\n"
        + "\n".join(lines)
    )


def _short(value: object) -> str:
    return f"{value:.2g}" if isinstance(value, float) else str(value)
