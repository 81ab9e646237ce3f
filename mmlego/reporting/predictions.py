"""Figures of a cohort's target and of one model's predictions, for either task."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from mmlego import figures
from mmlego.bench.outcome import Outcome
from mmlego.data import Cohort
from mmlego.data.cohorts.cohort import tables_of
from mmlego.data.cohorts.target import SurvivalTarget
from mmlego.errors import MetricError
from mmlego.learning.statistics.resampling import logrank_test
from mmlego.reporting import outcomes as outcome_tables
from mmlego.runs.session import Session

_GROUPS: dict[object, str] = {False: "predicted low risk", True: "predicted high risk"}


def target_figure(cohort: Cohort) -> Figure:
    """Survival of everybody, or the number of samples of each class."""
    target = cohort.target
    if isinstance(target, SurvivalTarget):
        return figures.survival_overview(target.event, target.time, unit=target.unit)
    return figures.class_overview(target.label, target.classes)


def shown_outcomes(session: Session, method: str | None = None) -> list[Outcome]:
    """The outcomes of the model that a page looks at closely, one per repeat.

    Without a method it is the one with the lowest mean validation loss among those tested on
    everybody; with one, its headline configuration.
    """
    if method is not None:
        found = [o for o in session.outcomes if o.method == method and o.headline]
        if not found:
            raise MetricError(
                f"closer look: no headline outcome of '{method}' in this run; add it first"
            )
        return found
    groups = outcome_tables.grouped(session.outcomes, tables_of(session.cohort))
    most = max(sum(o.n_test for o in group) for group in groups.values())
    full = {name: group for name, group in groups.items() if sum(o.n_test for o in group) == most}
    return groups[outcome_tables.chosen_by_validation(full)]


def outcome_figure(session: Session, method: str | None = None) -> Figure:
    """Kaplan-Meier curves of predicted risk groups with a log-rank p-value, or ROC curves."""
    outcomes = shown_outcomes(session, method)
    cohort = session.cohort
    title = outcome_tables.label(outcomes[0], tables_of(cohort))
    if cohort.task == "survival":
        return _risk_groups(outcomes, cohort, title)
    if len(cohort.class_target.classes) > 2:
        return _confusion(outcomes, cohort, title)
    return figures.roc_plot(
        outcome_tables.all_predictions(outcomes, cohort), method=outcomes[0].method, title=title
    )


def _risk_groups(outcomes: list[Outcome], cohort: Cohort, title: str) -> Figure:
    frame = outcome_tables.first_predictions(outcomes, cohort)
    both = frame["high"].nunique() == 2
    p_value = None
    if both:
        p_value = float(
            logrank_test(
                frame["event"].to_numpy(), frame["time"].to_numpy(), frame["high"].to_numpy()
            )[1]
        )
    return figures.kaplan_meier_plot(
        frame["event"].to_numpy(),
        frame["time"].to_numpy(),
        frame["high"].tolist(),
        unit=cohort.survival_target.unit,
        p_value=p_value,
        names=_GROUPS,
        title=title,
    )


def _confusion(outcomes: list[Outcome], cohort: Cohort, title: str) -> Figure:
    place = {name: row for row, name in enumerate(cohort.ids)}
    target = cohort.class_target
    k = len(target.classes)
    counts = np.zeros((k, k), dtype=int)
    for outcome in outcomes:
        truth = target.label[[place[name] for name in outcome.ids]]
        np.add.at(counts, (truth, outcome.prediction["probability"].argmax(axis=1)), 1)
    return figures.confusion_plot(counts, target.classes, title=title)


def calibration_figure(session: Session, method: str | None = None) -> Figure | None:
    """Whether predicted probabilities can be taken at their word.

    For survival the horizon is the upper edge of the second time bin of the first repeat, about the
    median time of events. Nothing is drawn for more than two classes.
    """
    outcomes = shown_outcomes(session, method)
    cohort = session.cohort
    target = cohort.target
    if not isinstance(target, SurvivalTarget):
        if len(target.classes) > 2:
            return None
        frame = outcome_tables.all_predictions(outcomes, cohort)
        return figures.reliability_plot(frame, method=outcomes[0].method)
    fold = session.folds[0]
    first = outcomes[0]
    place = {name: row for row, name in enumerate(cohort.ids)}
    rows = [place[name] for name in first.ids]
    return figures.survival_calibration(
        first.prediction["survival"][:, 1],
        target.event[rows],
        target.time[rows],
        horizon=float(fold.edges[2]),
        unit=target.unit,
        title=f"first repeat, survival to {fold.edges[2]:.0f} {target.unit}",
    )
