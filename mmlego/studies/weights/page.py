"""Tables, figures and sentences of the notebook `weight_merging`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mmlego import figures
from mmlego.bench.common_starts import shared_part
from mmlego.bench.fold_bench import Bench
from mmlego.bench.inputs import separate_names
from mmlego.bench.merging import bare_blocks
from mmlego.bench.outcome import Outcome
from mmlego.data import Cohort
from mmlego.learning.metrics.scores import main_metric
from mmlego.learning.statistics import pairing
from mmlego.methods.names import LEGO_MERGE, WEIGHT_MERGING
from mmlego.reporting import outcomes as outcome_tables
from mmlego.reporting import sentences
from mmlego.runs.session import Session
from mmlego.runs.settings import WeightMergingSettings
from mmlego.studies.weights.run import (
    OTHER_ENCODER,
    OWN_ENCODER,
    BlockMerges,
    EncoderMerges,
)

LATENTS, BEST, OWN_WEIGHTS = "latents merged (LegoMerge)", "best block", "own weights"


def parts(benches: Sequence[Bench], variant: str) -> str:
    """How much of each block is shared, and how much stays its own."""
    names = separate_names(benches[0].fold)
    blocks = bare_blocks(benches[0].blocks(names, variant))
    lines = []
    for name in names:
        shared = sum(value.numel() for value in shared_part(blocks[name]).values())
        total = sum(value.numel() for value in blocks[name].state_dict().values())
        lines.append(f"* `{name}`: {shared:,} of {total:,} weights ({shared / total:.0%}).")
    return "Weights that have the same shape in every block, and are merged:\n\n" + "\n".join(lines)


def together_table(merges: BlockMerges, metric: str) -> pd.DataFrame:
    """Everyone with any modality: label, method, repeat, value."""
    return outcome_tables.value_table(merges.together, metric, _label)


def alone_table(merges: BlockMerges, metric: str) -> pd.DataFrame:
    """Blocks alone: label, method, repeat, value, the mean over modalities."""
    table = outcome_tables.value_table(merges.alone, metric, _label_alone)
    keys = ["label", "method", "repeat"]
    return table.groupby(keys, sort=False, as_index=False)[["value", "n_train", "n_test"]].mean()


def encoder_table(outcomes: Sequence[Outcome], metric: str) -> pd.DataFrame:
    """One task with its own encoder and with others: label, method, repeat, value."""
    return outcome_tables.value_table(outcomes, metric, _label_encoder)


def encoder_figure(
    session: Session[WeightMergingSettings], shared: EncoderMerges | None, *, second: bool = False
) -> Figure | None:
    """Every encoder minus the task's own, on the first or the second task; None without tasks."""
    if shared is None:
        return None
    cohort, outcomes = _task(session, shared, second)
    metric = main_metric(cohort)
    return figures.paired_differences(
        encoder_table(outcomes, metric),
        reference=OWN_ENCODER,
        metric=metric,
        test_train_ratio=sentences.ratio(session),
        title=cohort.title,
    )


def against_latents(merges: BlockMerges, metric: str) -> str:
    """Every way of merging weights minus merging latents, as sentences."""
    return pairing.sentences(_against(together_table(merges, metric), LATENTS))


def encoders(session: Session[WeightMergingSettings], shared: EncoderMerges | None) -> str:
    """What the two tasks are, or that there is only one."""
    if shared is None:
        return (
            "Skipped: this run names no `second_cohort`, so there is one task only. "
            "Name a cohort with the same patients, tables and another target to merge the encoders "
            "of two tasks."
        )
    lines = [
        f"* **{cohort.title}**: {sentences.target_sentence(cohort)}."
        for cohort in (session.cohort, shared.cohort)
    ]
    width = shared.first[0].modalities
    return (
        "Two tasks of the same patients, on the same splits:\n\n"
        + "\n".join(lines)
        + f"\n\nBoth encoders read {', '.join(f'`{name}`' for name in width)} and start at the "
        "same weights."
    )


def conclusion(
    session: Session[WeightMergingSettings],
    apart: BlockMerges,
    common: BlockMerges,
    shared: EncoderMerges | None,
) -> str:
    """The conclusion of the notebook."""
    metric = main_metric(session.cohort)
    lines = []
    for start, merges in (("started apart", apart), ("had a common start", common)):
        lines += [_together_line(start, merges, metric), _alone_line(start, merges, metric)]
    if shared:
        lines += [_encoder_line(*_task(session, shared, second)) for second in (False, True)]
    return "\n".join(f"* {line}" for line in lines)


def answer(apart: BlockMerges, common: BlockMerges, metric: str) -> str:
    """Whether merging weights falls behind merging latents, from either start."""
    starts = {"started apart": apart, "had a common start": common}
    return " ".join(_below(start, _rivals(merges, metric)) for start, merges in starts.items())


def second_task(shared: EncoderMerges | None) -> dict[str, Any]:
    """Results on the second task for the record, since the table of results has one cohort a run.

    Empty where there is none.
    """
    if shared is None:
        return {}
    metric = main_metric(shared.cohort)
    table = encoder_table(shared.second, metric)
    rows = table[["label", "repeat", "value"]].to_dict(orient="records")
    return {"cohort": shared.cohort.name, "metric": metric, "rows": rows}


def _task(
    session: Session[WeightMergingSettings], shared: EncoderMerges, second: bool
) -> tuple[Cohort, list[Outcome]]:
    return (shared.cohort, shared.second) if second else (session.cohort, shared.first)


def _label(outcome: Outcome) -> str:
    if outcome.method != WEIGHT_MERGING:
        return LATENTS if outcome.method == LEGO_MERGE else BEST
    return f"weights: {outcome.arm}"


def _label_alone(outcome: Outcome) -> str:
    return _label(outcome) if outcome.method == WEIGHT_MERGING else OWN_WEIGHTS


def _label_encoder(outcome: Outcome) -> str:
    if outcome.method != WEIGHT_MERGING:
        return OWN_ENCODER
    return outcome.arm


def _against(table: pd.DataFrame, rival: str) -> list[pairing.Paired]:
    """Every way of merging weights minus one other row, not yet corrected."""
    names = dict.fromkeys(table.loc[table["method"] == WEIGHT_MERGING, "label"])
    return [pairing.compare(table, name, rival) for name in names]


def _together_line(start: str, merges: BlockMerges, metric: str) -> str:
    found = _rivals(merges, metric)
    best = max(found, key=lambda pair: pair.mean)
    what = f"The best of them by test results ({best.first})"
    return f"{_below(start, found)} {sentences.verdict(best, what, 'merging latents')}"


def _rivals(merges: BlockMerges, metric: str) -> list[pairing.Paired]:
    """Every way of merging weights minus merging latents, corrected for their number."""
    return pairing.adjust(_against(together_table(merges, metric), LATENTS))


def _below(start: str, found: Sequence[pairing.Paired]) -> str:
    below = sum(pair.mean < 0 for pair in found)
    lost = sum(pair.mean < 0 and pair.decided for pair in found)
    return (
        f"Where blocks {start}, {below} of {len(found)} ways of merging weights lie below merging "
        f"latents on average, {lost} of them by more than chance."
    )


def _alone_line(start: str, merges: BlockMerges, metric: str) -> str:
    means = [pair.mean for pair in _against(alone_table(merges, metric), OWN_WEIGHTS)]
    return (
        f"A single block whose shared weights were merged changes by {min(means):+.3f} to "
        f"{max(means):+.3f} on average, depending on the method, where blocks {start}."
    )


def _encoder_line(cohort: Cohort, outcomes: Sequence[Outcome]) -> str:
    table = encoder_table(outcomes, main_metric(cohort))
    means = pairing.means(table)["mean"]
    own, other = means[OWN_ENCODER], means[OTHER_ENCODER]
    found = pairing.adjust(_against(table, OWN_ENCODER))
    merged = [pair for pair in found if pair.first != OTHER_ENCODER]
    best = max(merged, key=lambda pair: pair.mean)
    average = np.mean([pair.mean for pair in merged])
    return (
        f"{cohort.title}: the encoder of the other task takes the result from {own:.3f} to "
        f"{other:.3f}; merged encoders change it by {average:+.3f} on average. "
        + sentences.verdict(
            best, f"The best of them by test results ({best.first})", "its own encoder"
        )
    )
