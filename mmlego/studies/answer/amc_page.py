"""Figures and sentences of the page of the notebook `amc_overview`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mmlego import figures
from mmlego.figures import style
from mmlego.learning.statistics import pairing
from mmlego.learning.statistics.ranks import SignedRanks, signed_ranks
from mmlego.learning.statistics.resampling import holm
from mmlego.studies.amc.run import AMC, CHANGES, INVERSE, LITERAL, RULES, title_of
from mmlego.studies.answer.amc import (
    ALONE,
    WHOLE,
    AMCRun,
    alone_table,
    latest,
    rule_table,
    summaries,
)

# With five data sets even differences that all point one way give p = .06.
_FEWEST_TASKS = 6


def scope(studies: list[AMCRun]) -> str:
    """What each data set of the page rests on."""
    lines = []
    for study in studies:
        values = study.parameters
        names = max(study.rows["modalities"], key=lambda text: text.count("+"))
        lines.append(
            f"* `{study.name}` ({names.replace('+', ', ')}): {style.title(study.facts['metric'])}, "
            f"{study.size()}; {values['tokens']} tokens of width {values['width']}, at most "
            f"{pairing.counted(values['epochs'], 'epoch')}"
        )
    lines.append(
        "\nNo hyper-parameter was searched: all networks, rivals too, train with AMC's learning "
        "rate, epochs and warm-up, and without L1."
    )
    return "\n".join(lines)


def metrics_of(studies: list[AMCRun]) -> str:
    """The main metrics of the data sets, for an axis."""
    short = {"c_index": "C-index", "auc": "AUC", "macro_auc": "macro AUC"}
    names = sorted({study.facts["metric"] for study in studies})
    words = [short.get(name, style.title(name)) for name in names]
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def modalities_figure(studies: list[AMCRun]) -> Figure | None:
    """AMC on each modality alone and on all of them, a panel per data set."""
    table = alone_table(studies)
    if table.empty:
        return None
    chance = {s.name: style.chance(s.facts["metric"]) for s in studies}
    table = table.assign(chance=table["task"].map(chance))
    return figures.modality_panels(table, xlabel=metrics_of(studies))


def modalities_text(studies: list[AMCRun]) -> str:
    """Which modality is best alone, data set by data set, and whether all together are better."""
    table = summaries(studies)
    lines = []
    for study in studies:
        part = table[table["task"] == study.name]
        alone = part[part["group"] == ALONE].set_index("only")["mean"].sort_values()
        if alone.empty:
            continue
        line = f"* `{study.name}`: best alone is {alone.index[-1]} "
        lines.append(f"{line}({alone.iloc[-1]:.3f} on those who have it){_against_chosen(part)}.")
    return "\n".join(lines) or "No modality was trained alone."


def _against_chosen(part: pd.DataFrame) -> str:
    """Under which rules all modalities are above the one that validation chooses."""
    whole = part[(part["group"] == WHOLE) & (part["method"] == AMC)]
    chosen = whole[whole["chosen_by"] != ""]["mean"]
    means = whole.set_index("arm")["mean"]
    rules = [rule for rule in RULES if rule in means.index]
    if chosen.empty or not rules:
        return ""
    best = float(chosen.iloc[0])
    above = [rule for rule in rules if means[rule] > best]
    return (
        f"; chosen by validation and tested on everybody {best:.3f}, which all "
        f"modalities exceed under {' and '.join(above) if above else 'neither rule'}"
    )


def rule_figure(studies: list[AMCRun]) -> Figure | None:
    """Both rules side by side on every data set; None where no data set has both."""
    table = rule_table(studies)
    return None if table.empty else figures.rule_pairs(table, metrics_of(studies))


def across(studies: list[AMCRun], first: str, second: str) -> SignedRanks | None:
    """Compare two labels over the data sets in which they share a repeat; None where there is none.

    The mean difference on shared repeats is one value per data set.
    """
    found = []
    for study in studies:
        rows = study.rows[study.rows["group"] == WHOLE]
        shared = [set(rows.loc[rows["label"] == label, "repeat"]) for label in (first, second)]
        if set.intersection(*shared):
            found.append(pairing.compare(rows, first, second).mean)
    return signed_ranks(found) if found else None


def rivals_table(studies: list[AMCRun]) -> pd.DataFrame:
    """AMC under each rule minus every other way of combining, over data sets.

    P-values are corrected over all comparisons of the table.
    """
    labels: dict[str, int] = {}
    for study in studies:
        for label in study.rows.loc[study.rows["group"] == WHOLE, "label"].unique():
            labels[label] = labels.get(label, 0) + 1
    rules = [title_of(rule) for rule in RULES if title_of(rule) in labels]
    others = sorted((n for n in labels if n not in rules), key=lambda n: (-labels[n], n))
    found = {(rule, name): across(studies, rule, name) for name in others for rule in rules}
    tested = {key: test for key, test in found.items() if test and test.n >= _FEWEST_TASKS}
    corrected = dict(
        zip(tested, holm([test.p_value for test in tested.values()]), strict=True) if tested else ()
    )
    rows = []
    for name in others:
        row: dict[str, object] = {"rival": name}
        for rule in rules:
            test = found[rule, name]
            row[f"{rule}, higher on"] = f"{test.higher} of {test.n}" if test else ""
            row[f"{rule}, mean difference"] = f"{test.mean:+.3f}" if test else ""
            p = corrected.get((rule, name))
            row[f"{rule}, p (Holm)"] = "" if p is None else f"{p:.2g}"
        rows.append(row)
    return pd.DataFrame(rows)


def rules_text(studies: list[AMCRun], results: Path) -> str:
    """Which reading of the rule the evidence of all runs supports."""
    test = across(studies, title_of(INVERSE), title_of(LITERAL))
    if test is None:
        return "No data set has both rules."
    text = (
        f"Inverse minus literal, in the main metric of each data set, is {test.mean:+.3f} on "
        f"average over {pairing.counted(test.n, 'data set')} (median {test.median:+.3f}); inverse "
        f"is higher on {test.higher}. "
    )
    if test.n < _FEWEST_TASKS:
        text += "So few data sets cannot tell. "
    else:
        word = "tells" if _decided(test) else "cannot tell"
        text += f"The signed-rank test {word} the two apart (p = {test.p_value:.2g}). "
    for (name, metric), part in ablation_gaps(results).groupby(["task", "metric"]):
        text += (
            f"In the ablations on `{name}`, which share splits and seeds and so are no independent "
            f"sample, inverse minus literal is {part['gap'].mean():+.3f} in {style.title(metric)} "
            f"on average over {pairing.counted(len(part), 'configuration')}, and positive in "
            f"{int((part['gap'] > 0).sum())}. "
        )
    return text + _verdict(test)


def _decided(test: SignedRanks) -> bool:
    return test.n >= _FEWEST_TASKS and test.p_value < pairing.ALPHA


def _verdict(test: SignedRanks) -> str:
    if _decided(test):
        # The test speaks of ranks; a single large difference can turn the sign of the mean.
        return f"**The evidence supports the {INVERSE if test.rank_sum > 0 else LITERAL} rule.**"
    return "**The evidence supports neither reading above the other.**"


def ablation_gaps(results: Path) -> pd.DataFrame:
    """Inverse minus literal for every configuration of the notebook `amc_ablations` that has both.

    Equal importance is left out, since both rules are the same then.

    Returns:
        task, metric, configuration (empty for AMC as it is), gap.
    """
    rows = []
    for record in latest(results, "amc_ablations"):
        metric = "c_index" if record["data"]["task"] == "survival" else "macro_f1"
        means: dict[str, list[float]] = {}
        for outcome in record["outcomes"]:
            means.setdefault(outcome["arm"], []).append(outcome["metrics"].get(metric, np.nan))
        for name in ("", *(change for change in CHANGES if change != "equal")):
            pair = [f"{name}, {rule}" if name else rule for rule in (INVERSE, LITERAL)]
            if set(pair) <= set(means):
                gap = float(np.mean(means[pair[0]]) - np.mean(means[pair[1]]))
                rows.append([record["data"]["name"], metric, name, gap])
    return pd.DataFrame(rows, columns=["task", "metric", "configuration", "gap"]).dropna()


def answer(studies: list[AMCRun]) -> str:
    """How often AMC stands first, and which reading of its rule the evidence supports."""
    whole = summaries(studies).query("group == @WHOLE")
    best = whole[whole.groupby("task")["mean"].rank(ascending=False, method="min") == 1]
    listed = " and ".join(
        f"{title_of(rule)} on {int((best['label'] == title_of(rule)).sum())}" for rule in RULES
    )
    test = across(studies, title_of(INVERSE), title_of(LITERAL))
    text = f"Of {pairing.counted(len(studies), 'data set')}, the highest mean is that of {listed}."
    return f"{text} {'No data set has both rules.' if test is None else _verdict(test)}"


def conclusion(studies: list[AMCRun]) -> str:
    """Where AMC stands, in sentences."""
    table = summaries(studies)
    whole = table[table["group"] == WHOLE]
    place = whole.groupby("task")["mean"].rank(ascending=False, method="min").astype(int)
    whole = whole.assign(place=place, of=whole.groupby("task")["mean"].transform("size"))
    lines = []
    for rule in RULES:
        part = whole[whole["label"] == title_of(rule)]
        if part.empty:
            continue
        listed = ", ".join(f"{row.place} of {row.of} on `{row.task}`" for row in part.itertuples())
        first = int((part["place"] == 1).sum())
        lines.append(
            f"* {title_of(rule)} has the highest mean on {first} of "
            f"{pairing.counted(len(part), 'data set')}: number {listed}."
        )
    best = whole[whole["place"] == 1]
    highest = (f"{row.label} on `{row.task}`" for row in best.itertuples())
    return "\n".join([*lines, f"* The highest means are those of {', '.join(highest)}."])
