"""Tables, figures and sentences of the notebook `tcp_confidence`."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from mmlego.bench.store.fits import FitStore
from mmlego.bench.trained import TrainedModel
from mmlego.learning.metrics.confidence_error import summarize_errors
from mmlego.learning.metrics.scores import main_metric
from mmlego.learning.statistics import pairing
from mmlego.reporting.outcomes import value_table
from mmlego.reporting.sentences import fixed_test
from mmlego.reporting.tables import mean_and_sd
from mmlego.runs.session import Session
from mmlego.runs.settings import ConfidenceSettings
from mmlego.studies.dynamics import stand_ins
from mmlego.studies.dynamics.confidences import CHOSEN, CONSTANT
from mmlego.studies.dynamics.page import name_of, paired_sentences, title_of
from mmlego.studies.dynamics.published import CHECKPOINT_ERRORS
from mmlego.studies.dynamics.run import BOTH, NONE, ORACLE, WITH_CONFIDENCE

STATISTICS = {
    "mean_true": "mean true",
    "mean_predicted": "mean predicted",
    "min_predicted": "lowest predicted",
    "max_predicted": "highest predicted",
    "mae": "mean absolute error",
    "rmse": "root mean squared error",
    "r2": "R²",
    "above_0.1": "error above 10 %",
    "above_0.5": "error above 50 %",
    "above_1.0": "error above 100 %",
    "pearson": "correlation",
    "spearman": "rank correlation",
}
COLUMNS = ["arm", "repeat", "modality", "id", "predicted", "true", "correct"]


def of_arm(table: pd.DataFrame, arm: str) -> pd.DataFrame:
    """The rows of one arm."""
    return table[table["arm"] == arm].reset_index(drop=True)


def states(runs: Sequence[TrainedModel], store: FitStore) -> pd.DataFrame:
    """Predicted confidence in every modality, on real inputs and on stand-ins."""
    names = runs[0].names if runs and len(runs[0].names) > 1 else ()
    found = [stand_ins.confidence_by_state(runs, name, store) for name in names]
    return (
        pd.concat(found, ignore_index=True)
        if found
        else stand_ins.confidence_by_state([], "", store)
    )


def error_table(found: pd.DataFrame, arm: str = BOTH) -> pd.DataFrame:
    """Mean over folds of what matters, by modality, as text."""
    part = found[found["arm"] == arm]
    rows = []
    for name, group in part.groupby("modality", sort=False):
        row = {"modality": name}
        for key, title in STATISTICS.items():
            row[title] = mean_and_sd(group[key].to_numpy(float))
        rows.append(row)
    return pd.DataFrame(rows).T.reset_index().pipe(_headed)


def checkpoint_table(session: Session[ConfidenceSettings]) -> pd.DataFrame:
    """The same statistics of the published checkpoint; no rows but for its own division of ROSMAP.

    Source: the checkpoint of Han et al. 2022, evaluated by us.
    """
    settings = session.settings
    if session.cohort.name != "rosmap" or not settings.split_unit.startswith("official"):
        return pd.DataFrame()
    table = pd.DataFrame(CHECKPOINT_ERRORS).rename(index=STATISTICS)
    return table.rename_axis("statistic").reset_index()


def _headed(table: pd.DataFrame) -> pd.DataFrame:
    """The first row of a turned table as its heading."""
    if table.empty:
        return table
    head = ["statistic", *table.iloc[0, 1:]]
    return table.iloc[1:].set_axis(head, axis=1).reset_index(drop=True)


def trust_sentences(found: pd.DataFrame) -> str:
    """Whether predicted confidence says which modality to trust."""
    if found.empty:
        return "There is nothing to choose: fewer than two modalities have a confidence."
    lines = []
    for arm, part in found.groupby("arm", sort=False):
        mean = part.mean(numeric_only=True)
        gain = mean["right"] - mean["constant"]
        lines.append(
            f"* {title_of(arm)}: the modality with the highest predicted confidence is the one "
            f"with the highest true confidence in {mean['right']:.1%} of the samples, against "
            f"{mean['constant']:.1%} for always trusting the modality that is best on the "
            f"validation part ({gain:+.1%}) and {mean['chance']:.1%} for a guess."
        )
    return "\n".join(lines)


def gain_table(session: Session[ConfidenceSettings]) -> pd.DataFrame:
    """What weighting is worth: none, predicted, true."""
    chosen = [o for o in session.outcomes if o.arm in (NONE, *WITH_CONFIDENCE)]
    return value_table(chosen, main_metric(session.cohort), name_of)


def gains(session: Session[ConfidenceSettings]) -> str:
    """Predicted minus none, and true minus predicted, with their intervals."""
    table = gain_table(session)
    labels = set(table["label"])
    pairs = [
        pairing.compare(table, title_of(first), title_of(second))
        for first, second in ((BOTH, NONE), (ORACLE, BOTH), (ORACLE, NONE))
        if {title_of(first), title_of(second)} <= labels
    ]
    return (
        paired_sentences(session, pairs)
        if pairs
        else "The arms to compare are not part of this run."
    )


def curves(found: pd.DataFrame, arm: str = BOTH) -> pd.DataFrame:
    """Rows of one arm, without its name."""
    return of_arm(found, arm).drop(columns="arm")


def summary_table(found: pd.DataFrame) -> pd.DataFrame:
    """Mean, population standard deviation, least and largest over all folds and modalities."""
    table = summarize_errors(curves(found))
    table = table[table["modality"] == "all modalities"].drop(columns="modality")
    for column in ("mean", "sd", "min", "max"):
        table[column] = table[column].map("{:.3f}".format)
    return table.rename(columns={"sd": "standard deviation", "min": "least", "max": "largest"})


def trust_pair(trusted: pd.DataFrame, arm: str, n_train: int, n_test: int) -> pairing.Paired:
    """How much more often an arm's confidence chooses right than a constant choice, by split."""
    part = trusted[trusted["arm"] == arm]
    rows = [
        part.assign(label=column, value=part[column], n_train=n_train, n_test=n_test)
        for column in (CHOSEN, CONSTANT)
    ]
    return pairing.compare(pd.concat(rows), CHOSEN, CONSTANT)


def _verdict(pair: pairing.Paired, fixed: bool) -> str:
    if fixed:
        return (
            f"Predicted confidence chooses the better modality {pair.mean:+.1%} more often than a "
            f"constant choice, over {pairing.counted(pair.n, 'seed')} on one test part."
        )
    if pair.decided and pair.mean > 0:
        word = "carries information about which modality to trust"
    elif pair.decided:
        word = "misleads about which modality to trust"
    else:
        word = "cannot be told from always trusting the same modality"
    interval = f"95 % interval {pair.lower:+.1%} to {pair.upper:+.1%}, " if pair.n > 1 else ""
    return (
        f"Predicted confidence {word}: it chooses the better modality {pair.mean:+.1%} more often "
        f"than a constant choice ({interval}{pairing.counted(pair.n, 'split')})."
    )


def answer(session: Session, found: pd.DataFrame, trusted: pd.DataFrame) -> str:
    """How far predicted confidence is off, and whether it says which modality to trust."""
    part = found[found["arm"] == BOTH]
    text = (
        f"Predicted confidence is off by more than 10 % of the truth in "
        f"{part['above_0.1'].mean():.0%} of the test samples, with a rank correlation with the "
        f"truth of {part['spearman'].mean():.2f}, as means over splits and modalities. "
    )
    if trusted.empty or BOTH not in set(trusted["arm"]):
        return f"{text}There is one modality with a confidence, so there is nothing to choose."
    fold = session.folds[0]
    pair = trust_pair(trusted, BOTH, len(fold.train), len(fold.test))
    return text + _verdict(pair, fixed_test(session))


def conclusion(
    session: Session[ConfidenceSettings],
    table: pd.DataFrame,
    found: pd.DataFrame,
    trusted: pd.DataFrame,
) -> str:
    """The answer of the page, from its numbers."""
    part = found[found["arm"] == BOTH]
    if part.empty:
        return "The arm `both` is not part of this run."
    parts = part.groupby("modality", sort=False)
    lines = []
    for name, group in parts:
        lines.append(
            f"* `{name}`: predicted confidence is off by more than 10 % of the truth in "
            f"{group['above_0.1'].mean():.0%} of the samples and by more than 100 % in "
            f"{group['above_1.0'].mean():.0%}; rank correlation with the truth "
            f"{group['spearman'].mean():.2f}."
        )
    if not trusted.empty and BOTH in set(trusted["arm"]):
        fold = session.folds[0]
        pair = trust_pair(trusted, BOTH, len(fold.train), len(fold.test))
        lines.append(f"* {_verdict(pair, fixed_test(session))}")
    zero = int(part["left_out"].sum())
    if zero:
        lines.append(f"* {zero} true confidences of zero are left out of all relative errors.")
    span = table[table["arm"] == BOTH]["predicted"]
    lines.append(
        f"* The confidence is unbounded: predictions run from {span.min():.2f} to "
        f"{span.max():.2f}, where the truth lies in (0, 1]."
    )
    return "\n".join(lines)
