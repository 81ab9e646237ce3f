"""Tables, figures and sentences of the notebooks `amc` and `amc_ablations`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from mmlego import figures
from mmlego.bench.outcome import Outcome
from mmlego.bench.trained import TrainedModel
from mmlego.figures import style
from mmlego.figures.spread import interval
from mmlego.learning.metrics.scores import main_metric
from mmlego.learning.statistics import pairing
from mmlego.methods.method import ESTIMATOR
from mmlego.methods.registry import METHODS
from mmlego.reporting import answers, sentences, tables
from mmlego.reporting import outcomes as outcome_tables
from mmlego.reporting.published import ablation_metric
from mmlego.reporting.standings import BEST_TITLE
from mmlego.runs.session import Session
from mmlego.runs.settings import AMCBase
from mmlego.studies.amc.published import published_amc
from mmlego.studies.amc.run import (
    ALONE,
    AMC,
    ARMS,
    CHANGES,
    INVERSE,
    LITERAL,
    RULES,
    is_alone,
    rule_of,
    title_of,
)

CLASS_METRICS = ("accuracy", "balanced_accuracy", "macro_f1")
SURVIVAL_METRICS = ("c_index", "c_index_ipcw", "integrated_brier", "auc_td")
BASE = "AMC as it is"


def is_amc(outcome: Outcome) -> bool:
    """Whether an outcome is one of AMC's arms, or AMC on one modality."""
    return outcome.method == AMC and (outcome.arm in ARMS or is_alone(outcome))


def name_of(outcome: Outcome) -> str:
    """What readers call the model of an outcome."""
    return label_of(outcome.labels | {"modalities": outcome.modalities})


def label_of(labels: Mapping[str, Any]) -> str:
    """What readers call a method in one of its configurations.

    Args:
        labels: Those of an outcome, and its modalities.
    """
    method, arm = labels["method"], labels["arm"]
    if method == AMC and (arm in ARMS or arm == ALONE):
        return title_of(arm, labels["modalities"], labels["chosen_by"])
    return BEST_TITLE if labels["chosen_by"] else METHODS[method].title


def place_of(outcome: Outcome) -> tuple[str, str, str]:
    """Method, arm and single modality, by which published rows are found."""
    arm = outcome.arm if is_amc(outcome) else ""
    return outcome.method, arm, outcome.modality_key if is_alone(outcome) else ""


def metrics_of(session: Session[AMCBase]) -> tuple[str, ...]:
    """The metrics that the table shows: the published ones, and the main one of this book."""
    if session.cohort.task == "survival":
        return SURVIVAL_METRICS
    return (*CLASS_METRICS, main_metric(session.cohort))


def values(
    session: Session[AMCBase], outcomes: Sequence[Outcome], metric: str = ""
) -> pd.DataFrame:
    """Value table of some outcomes: label, method, repeat, value, n_train, n_test."""
    return outcome_tables.value_table(outcomes, metric or main_metric(session.cohort), name_of)


def forest(
    session: Session[AMCBase], metric: str = "", *, chosen: Callable = lambda o: True
) -> Figure:
    """Every chosen model on a metric, with the published value where there is one."""
    metric = metric or main_metric(session.cohort)
    outcomes = [o for o in session.outcomes if chosen(o)]
    known = published_amc(session.cohort.name)
    known = known[known["metric"] == metric].set_index(["method", "arm", "only"])
    table = tables.with_published(
        values(session, outcomes, metric), outcomes, known, name_of, place_of
    )
    return figures.forest_plot(
        table,
        metric=metric,
        order="value",
        published_label="published (other data)",
        test_train_ratio=sentences.ratio(session),
    )


def published_forest(session: Session[AMCBase]) -> Figure | None:
    """Every network on the metric of the published tables; None where that is the main one.

    Classical references are left out: they are not given the class weights of the networks, and a
    score of hard decisions would compare weights instead of models.
    """
    metric = ablation_metric(session.cohort)
    if metric == main_metric(session.cohort):
        return None
    return forest(session, metric, chosen=lambda o: METHODS[o.method].kind != ESTIMATOR)


def modalities_forest(session: Session[AMCBase]) -> Figure | None:
    """AMC on each modality alone beside AMC on all; None where it was not trained alone."""
    alone = [o for o in session.outcomes if is_alone(o)]
    if not alone:
        return None
    return forest(session, chosen=lambda o: is_alone(o) or (o.method == AMC and o.arm in RULES))


def metric_table(session: Session[AMCBase]) -> pd.DataFrame:
    """Every model on every metric: mean ± standard deviation, published values in their own rows.

    Published precision is left out, since it is macro-averaged and ours is weighted.
    """
    known = published_amc(session.cohort.name).set_index(["method", "arm", "only", "metric"])
    return tables.metric_table(session.outcomes, metrics_of(session), name_of, known, place_of)


def comparisons(session: Session[AMCBase]) -> list[pairing.Paired]:
    """Inverse minus literal, each rule minus its other configurations, and literal minus the rest.

    Literal is the default; a configuration is compared with what it changes, so that two changes
    are never mixed.
    """
    shown = [o for o in session.outcomes if not is_alone(o)]
    table = values(session, shown)
    titles = {rule: title_of(rule) for rule in RULES if title_of(rule) in set(table["label"])}
    pairs = []
    if len(titles) == len(RULES):
        pairs.append(pairing.compare(table, titles[INVERSE], titles[LITERAL]))
    for label, outcome in {name_of(o): o for o in shown}.items():
        base = titles.get(INVERSE if _is_inverse(outcome) else LITERAL)
        if base and label not in titles.values():
            pairs.append(pairing.compare(table, base, label))
    return pairs


def _is_inverse(outcome: Outcome) -> bool:
    """Whether an outcome is AMC under the inverse rule."""
    return is_amc(outcome) and rule_of(outcome.arm) == INVERSE


def example(models: Sequence[TrainedModel]) -> TrainedModel:
    """The model that the page works through: AMC under the literal rule, else the first one."""
    return min(models, key=lambda model: model.arm != LITERAL)


def answer(session: Session[AMCBase]) -> str:
    """AMC beside its best single modality, its other rule, and the best rival."""
    table = values(session, _ways(session))
    best = pairing.means(table).index[:1]
    rivals = [title_of(ALONE, chosen_by="validation"), title_of(INVERSE), *best]
    return _answer(session, table, main_metric(session.cohort), title_of(LITERAL), rivals)


def ablation_answer(session: Session[AMCBase]) -> str:
    """The inverse rule beside the literal one, and the best configuration."""
    metric = ablation_metric(session.cohort)
    table = values(session, session.outcomes, metric)
    rivals = [title_of(LITERAL), *pairing.means(table).index[:1]]
    return _answer(session, table, metric, title_of(INVERSE), rivals)


def _answer(
    session: Session[AMCBase], table: pd.DataFrame, metric: str, first: str, rivals: Sequence[str]
) -> str:
    return answers.against(table, metric, first, rivals, fixed=sentences.fixed_test(session))


def conclusion(session: Session[AMCBase]) -> str:
    """What the page says, computed from the run."""
    metric = style.word(main_metric(session.cohort))
    ranked = pairing.means(values(session, _ways(session)))
    places = list(ranked.index)
    lines = [
        f"* Highest mean {metric}: **{places[0]}** "
        f"({ranked['mean'].iloc[0]:.3f}), of {len(places)} ways to use the modalities."
    ]
    for rule in RULES:
        title = title_of(rule)
        if title in places:
            lines.append(
                f"* {title}: {ranked.loc[title, 'mean']:.3f}, number {places.index(title) + 1}."
            )
    return (
        "\n".join(lines + _alone_line(session)) + "\n\n" + pairing.sentences(comparisons(session))
    )


def _ways(session: Session[AMCBase]) -> list[Outcome]:
    """The ways of combining; one that differs in its training samples only is no further way."""
    return [
        o for o in session.outcomes if not (is_amc(o) and (is_alone(o) or ARMS[o.arm].complete))
    ]


def _alone_line(session: Session[AMCBase]) -> list[str]:
    alone = [o for o in session.outcomes if is_alone(o)]
    if not alone:
        return []
    means = pairing.means(values(session, alone))["mean"]
    listed = ", ".join(
        f"{name.removeprefix('AMC on ')} {value:.3f}" for name, value in means.items()
    )
    return [f"* AMC on a single modality: {listed}."]


def rule_table(session: Session[AMCBase]) -> pd.DataFrame:
    """Mean and corrected 95 % interval of every configuration that ran under both rules.

    Returns:
        configuration, rule, mean, low, high; the interval is missing with a single repeat.
    """
    metric = ablation_metric(session.cohort)
    by_arm: dict[str, list[Outcome]] = {}
    for outcome in session.outcomes:
        by_arm.setdefault(outcome.arm if outcome.method == AMC else "", []).append(outcome)
    names = {"": BASE} | {name: title for name, (title, _) in CHANGES.items()}
    rows = []
    for name, title in names.items():
        arms = {rule: f"{name}, {rule}" if name else rule for rule in RULES}
        if not set(arms.values()) <= set(by_arm):
            continue
        for rule, arm in arms.items():
            found = [o.metrics[metric] for o in by_arm[arm]]
            shown = interval(found, test_train_ratio=sentences.ratio(session))
            row = {"configuration": title, "rule": rule, "mean": shown.mean}
            rows.append(row | {"low": shown.lower, "high": shown.upper})
    return pd.DataFrame(rows)


def rule_pairs(session: Session[AMCBase]) -> Figure | None:
    """Literal and inverse side by side, configuration by configuration; None without both."""
    table = rule_table(session)
    if table.empty:
        return None
    return figures.rule_pairs(table, style.title(ablation_metric(session.cohort)))


def ablation_differences(session: Session[AMCBase], rule: str) -> Figure | None:
    """Every change minus AMC as it is, paired by repeat, under one rule; None without changes."""
    arms = [rule, *(f"{name}, {rule}" for name in CHANGES), *_RULELESS]
    table = values(
        session, [o for o in session.outcomes if o.arm in arms], ablation_metric(session.cohort)
    )
    reference = title_of(rule)
    if reference not in set(table["label"]) or table["label"].nunique() < 2:
        return None
    return figures.paired_differences(
        table,
        reference=reference,
        metric=ablation_metric(session.cohort),
        test_train_ratio=sentences.ratio(session),
    )


_RULELESS = ("retain", "positionwise", "positionwise, after_every", "no_fusion", "strict")


def ablation_pairs(session: Session[AMCBase]) -> list[pairing.Paired]:
    """The published comparisons under each rule, and the rules against each other."""
    table = values(session, session.outcomes, ablation_metric(session.cohort))
    ran = {o.arm for o in session.outcomes}
    pairs = []
    for rule in RULES:
        changes = ["no_fusion", *(f"{name}, {rule}" for name in CHANGES)]
        pairs += [
            pairing.compare(table, title_of(rule), title_of(change))
            for change in changes
            if {rule, change} <= ran
        ]
    rivals = [INVERSE, "retain", "positionwise"]
    pairs += [
        pairing.compare(table, title_of(other), title_of(LITERAL))
        for other in rivals
        if {other, LITERAL} <= ran
    ]
    return pairs


def ablation_conclusion(session: Session[AMCBase]) -> str:
    """Which published orders are found, and which reading of the rule the evidence supports."""
    metric = ablation_metric(session.cohort)
    means = values(session, session.outcomes, metric).groupby("label")["value"].mean()
    lines = [_order(means, rule) for rule in RULES]
    lines.append(_rules(session))
    return (
        "\n".join(line for line in lines if line)
        + "\n\n"
        + pairing.sentences(ablation_pairs(session))
    )


def _order(means: pd.Series, rule: str) -> str:
    """Whether AMC is above each of its published removals, under one rule."""
    whole = title_of(rule)
    changes = ["no_fusion", *(f"{c}, {rule}" for c in ("no_contrastive", "softmax", "dense"))]
    titles = [title_of(change) for change in changes if title_of(change) in means.index]
    if whole not in means.index or not titles:
        return ""
    below = [title for title in titles if means[title] < means[whole]]
    return (
        f"* {whole} ({means[whole]:.3f}) is above {len(below)} of {len(titles)} removals "
        "(published, in F1 on other data: above all four)"
        + (f": {', '.join(f'{t} {means[t]:.3f}' for t in titles)}." if titles else ".")
    )


def _rules(session: Session[AMCBase]) -> str:
    """Literal against inverse over all configurations that ran under both."""
    table = rule_table(session)
    if table.empty:
        return ""
    wide = table.pivot_table(index="configuration", columns="rule", values="mean", sort=False)
    gap = wide[INVERSE] - wide[LITERAL]
    return (
        f"* Inverse minus literal is {gap.mean():+.3f} on average over {len(gap)} configurations, "
        f"from {gap.min():+.3f} to {gap.max():+.3f}; inverse is higher in {int((gap > 0).sum())}. "
        "The configurations share splits and seeds, so this is no independent sample."
    )
