"""Tables, figures and sentences of the notebook `mm_dynamics`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mmlego import figures
from mmlego.bench.outcome import Outcome
from mmlego.bench.trained import TrainedModel
from mmlego.data.cohorts.target import SurvivalTarget
from mmlego.errors import SettingsError
from mmlego.figures import style
from mmlego.learning.metrics.scores import main_metric
from mmlego.learning.statistics import pairing
from mmlego.methods.names import MM_DYNAMICS
from mmlego.methods.registry import METHODS
from mmlego.reporting import answers, sentences, tables
from mmlego.reporting import outcomes as outcome_tables
from mmlego.reporting.published import ablation_metric
from mmlego.reporting.standings import BEST_TITLE
from mmlego.runs.session import Session
from mmlego.runs.settings import DynamicsBase
from mmlego.studies.dynamics.published import published_dynamics
from mmlego.studies.dynamics.run import (
    ARMS,
    BOTH,
    FEATURE,
    MODALITY,
    NONE,
    ORACLE,
)

ABLATIONS = (NONE, FEATURE, MODALITY, BOTH)
CLASS_METRICS = (
    "weighted_f1",
    "macro_f1",
    "accuracy",
    "weighted_precision",
    "balanced_accuracy",
    "macro_auc",
)
TWO_CLASS_METRICS = ("accuracy", "f1", "auc", "macro_f1", "balanced_accuracy")
SURVIVAL_METRICS = ("c_index", "c_index_ipcw", "integrated_brier", "auc_td")


def metrics_of(session: Session[DynamicsBase]) -> tuple[str, ...]:
    """The metrics that the table shows; the recall weighted by class sizes is the accuracy."""
    target = session.cohort.target
    if isinstance(target, SurvivalTarget):
        return SURVIVAL_METRICS
    return TWO_CLASS_METRICS if len(target.classes) == 2 else CLASS_METRICS


def name_of(outcome: Outcome) -> str:
    """What readers call the model of an outcome."""
    if outcome.arm in ARMS:
        return title_of(outcome.arm)
    return BEST_TITLE if outcome.chosen_by else METHODS[outcome.method].title


def place_of(outcome: Outcome) -> tuple[str, str]:
    """Method and arm, by which published rows are found."""
    return outcome.method, outcome.arm if is_arm(outcome) else ""


def title_of(arm: str) -> str:
    """What readers call an arm."""
    return ARMS[arm].title


def paired_sentences(session: Session[DynamicsBase], pairs: Sequence[pairing.Paired]) -> str:
    """Comparisons with intervals; where all repeats share a test part, without."""
    if not sentences.fixed_test(session):
        return pairing.sentences(pairs)
    return "\n".join(
        f"* {pair.first} minus {pair.second}: {pair.mean:+.3f} over "
        f"{pairing.counted(pair.n, 'seed')} on one test part."
        for pair in pairs
    )


def spread_of(session: Session[DynamicsBase]) -> dict[str, Any]:
    """How a figure shows the spread of repeats."""
    if sentences.fixed_test(session):
        return {"spread": "sd"}
    return {"test_train_ratio": sentences.ratio(session)}


def is_arm(outcome: Outcome) -> bool:
    """Whether an outcome is one of the arms of MM dynamics."""
    return outcome.arm in ARMS


def values(
    session: Session[DynamicsBase], outcomes: Sequence[Outcome], metric: str = ""
) -> pd.DataFrame:
    """Value table of some outcomes: label, method, repeat, value, n_train, n_test."""
    return outcome_tables.value_table(outcomes, metric or main_metric(session.cohort), name_of)


def arms_forest(session: Session[DynamicsBase]) -> Figure:
    """All arms on the main metric."""
    return _forest(session, [o for o in session.outcomes if is_arm(o)])


def rivals_forest(session: Session[DynamicsBase]) -> Figure | None:
    """MM dynamics and MM static among the rivals; None where none ran."""
    rivals = [o for o in session.outcomes if not is_arm(o)]
    shown = [o for o in session.outcomes if o.arm in (BOTH, NONE, "static")]
    return _forest(session, shown + rivals) if rivals else None


def _forest(session: Session[DynamicsBase], outcomes: Sequence[Outcome]) -> Figure:
    metric = main_metric(session.cohort)
    known = _published(session)
    known = known[known["metric"] == metric].set_index(["method", "arm"])
    table = tables.with_published(values(session, outcomes), outcomes, known, name_of, place_of)
    comparable = bool(known["comparable"].any())
    return figures.forest_plot(
        table,
        metric=metric,
        order="value",
        published_label="published" if comparable else "published (other data)",
        **spread_of(session),
    )


def _published(session: Session[DynamicsBase]) -> pd.DataFrame:
    settings = session.settings
    return published_dynamics(
        session.cohort.name,
        settings.split_unit,
        modalities=session.folds[0].names,
        whole=session.cohort.capped_from is None,
        repeats=settings.repeats,
    )


def metric_table(session: Session[DynamicsBase]) -> pd.DataFrame:
    """Every model on every metric: mean ± standard deviation, with the published value under it."""
    known = _published(session).set_index(["method", "arm", "metric"])
    return tables.metric_table(session.outcomes, metrics_of(session), name_of, known, place_of)


def ablation_bars(session: Session[DynamicsBase]) -> Figure | None:
    """The four ablations; None where they are not part of the run."""
    table = _ablations(session)
    if table.empty:
        return None
    return figures.ablation_bars(
        table,
        metric=ablation_metric(session.cohort),
        method=MM_DYNAMICS,
        reference=ARMS[NONE].title if ARMS[NONE].title in set(table["label"]) else None,
    )


def ablation_differences(session: Session[DynamicsBase]) -> Figure | None:
    """Every arm minus the plain model without either weighting, paired by repeat."""
    metric = ablation_metric(session.cohort)
    table = values(session, [o for o in session.outcomes if is_arm(o)], metric)
    reference = ARMS[NONE].title
    if reference not in set(table["label"]) or table["label"].nunique() < 2:
        return None
    return figures.paired_differences(
        table,
        reference=reference,
        metric=metric,
        **spread_of(session),
    )


def _ablations(session: Session[DynamicsBase]) -> pd.DataFrame:
    chosen = [o for o in session.outcomes if o.arm in ABLATIONS]
    if not chosen:
        return pd.DataFrame()
    place = {ARMS[name].title: i for i, name in enumerate(ABLATIONS)}
    table = values(session, chosen, ablation_metric(session.cohort))
    return table.sort_values("label", key=lambda c: c.map(place), kind="stable")


def ranking_text(table: pd.DataFrame) -> str:
    """How far gates lie apart, and whether splits agree on their order."""
    if table.empty:
        return "No arm of this run has a gate on a table, a bag or a series."
    lines = []
    for name, part in table.groupby("modality", sort=False):
        wide = part.pivot_table(index="feature", columns="repeat", values="gate")
        mean = wide.mean(axis=1).sort_values()
        agree = _agreement(wide)
        lines.append(
            f"* `{name}`: mean gates from {mean.iloc[0]:.3f} ({mean.index[0]}) to "
            f"{mean.iloc[-1]:.3f} ({mean.index[-1]}), {mean.mean():.3f} on average"
            + (
                f"; rank correlation of two repeats {agree:.2f} on average."
                if np.isfinite(agree)
                else "."
            )
        )
    return "\n".join(lines)


def ranking_record(table: pd.DataFrame, most: int = 10) -> dict[str, dict[str, float]]:
    """Mean gates of the features at both ends of each ranking, for the record of a run."""
    found = {}
    for name, part in table.groupby("modality", sort=False):
        mean = part.groupby("feature")["gate"].mean().sort_values(ascending=False)
        ends = mean if len(mean) <= 2 * most else pd.concat([mean.iloc[:most], mean.iloc[-most:]])
        found[name] = {feature: float(value) for feature, value in ends.items()}
    return found


def _agreement(wide: pd.DataFrame) -> float:
    """Mean Spearman correlation of the rankings of two repeats."""
    found = wide.corr(method="spearman").to_numpy()
    upper = found[np.triu_indices_from(found, k=1)]
    return float(np.nanmean(upper)) if len(upper) and np.isfinite(upper).any() else float("nan")


def comparisons(session: Session[DynamicsBase]) -> list[pairing.Paired]:
    """The ablations minus none, and MM dynamics minus what else was run; corrected together."""
    table = values(session, [o for o in session.outcomes if o.arm != ORACLE])
    labels = list(dict.fromkeys(table["label"]))
    arm = {name: ARMS[name].title for name in ARMS}
    pairs = [
        pairing.compare(table, arm[name], arm[NONE])
        for name in (FEATURE, MODALITY, BOTH)
        if {arm[name], arm[NONE]} <= set(labels)
    ]
    if arm[BOTH] in labels:
        others = [x for x in labels if x not in (arm[BOTH], arm[NONE], *map(arm.get, ABLATIONS))]
        pairs += [pairing.compare(table, arm[BOTH], other) for other in others]
    return pairs


def example(models: Sequence[TrainedModel]) -> TrainedModel:
    """The model that the page works through: MM dynamics, or another that weighs as it predicts.

    Raises:
        SettingsError: If there is none.
    """
    found = [
        model
        for model in models
        if model.method == MM_DYNAMICS and not {"weighting", "mask_weight"} & set(_options(model))
    ]
    if not found:
        raise SettingsError(
            f"worked fold: expected an arm of {METHODS[MM_DYNAMICS].title} such as '{BOTH}', got "
            f"{sorted({model.arm for model in models})}; add it to 'arms'"
        )
    return min(found, key=lambda model: model.arm != BOTH)


def _options(model: TrainedModel) -> Mapping[str, object]:
    return {} if model.configuration is None else model.configuration.options


def answer(session: Session[DynamicsBase]) -> str:
    """MM dynamics beside the plain model and the best other one, in two sentences."""
    fair = [o for o in session.outcomes if o.arm != ORACLE]
    table = values(session, fair or session.outcomes)
    rivals = [title_of(NONE), *pairing.means(table).index[:1]]
    fixed = sentences.fixed_test(session)
    metric = main_metric(session.cohort)
    return answers.against(table, metric, title_of(BOTH), rivals, fixed=fixed)


def conclusion(session: Session[DynamicsBase]) -> str:
    """What the page says, computed from the run."""
    metric = style.word(main_metric(session.cohort))
    ranked = pairing.means(values(session, session.outcomes))
    informed = title_of(ORACLE)
    fair = ranked.drop(index=[informed], errors="ignore")
    lines = [
        f"* Highest mean {metric}: **{fair.index[0]}** ({fair['mean'].iloc[0]:.3f})"
        + (
            f"; MM dynamics is number {list(fair.index).index(title_of(BOTH)) + 1} of {len(fair)}."
            if title_of(BOTH) in fair.index
            else "."
        )
    ]
    if informed in ranked.index:
        lines.append(
            f"* Weighted by the true confidence, which needs the label, it reaches "
            f"{ranked.loc[informed, 'mean']:.3f}: what better confidences could give, not a result."
        )
    lines += _order(session)
    return "\n".join(lines) + "\n\n" + paired_sentences(session, comparisons(session))


def _order(session: Session[DynamicsBase]) -> list[str]:
    """Whether the published order of the ablations is found."""
    table = _ablations(session)
    if session.cohort.task == "survival" or table.empty:
        return []  # nothing was published on survival
    if table["label"].nunique() < len(ABLATIONS):
        return []
    mean = table.groupby("label")["value"].mean()
    feature, none, both, modality = (
        mean[ARMS[name].title] for name in (FEATURE, NONE, BOTH, MODALITY)
    )
    found = feature >= none > max(both, modality)
    return [
        "* In macro F1 the replication found features only to be at least as good as none, and "
        "both weightings by confidence below: "
        + ("the means here have the same order." if found else "the means here are not so ordered.")
        + f" Features only {feature:.3f}, none {none:.3f}, both {both:.3f}, modalities only "
        f"{modality:.3f}."
    ]
