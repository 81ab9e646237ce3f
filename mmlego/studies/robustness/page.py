"""Tables, figures and sentences of the notebook `robustness`."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mmlego import figures
from mmlego.bench.inputs import headline_inputs
from mmlego.bench.outcome import Outcome
from mmlego.figures.tables.plain import format_result
from mmlego.learning.metrics.scores import main_metric
from mmlego.learning.statistics import pairing
from mmlego.methods import names
from mmlego.methods.method import MERGED
from mmlego.methods.registry import METHODS, titled
from mmlego.reporting import answers
from mmlego.reporting import outcomes as outcome_tables
from mmlego.reporting.rates import bullets, change_line, curve_table, curves, verdicts
from mmlego.runs.session import Session
from mmlego.runs.settings import RobustnessSettings
from mmlego.studies.robustness.models import STATIC
from mmlego.studies.robustness.run import (
    AFTER,
    AGAIN,
    ALL,
    BEFORE,
    CARDINALITY,
    EXTENSION,
    IMBALANCE,
    MISSING,
    ONE,
    RETRAINED,
    TWICE,
    Findings,
    bags,
    scarce_modality,
)

# Of single precision, relative to the largest logit.
_ROUNDING = 1e-4
COMPLETE = "nothing withheld"
MERGE = titled(names.LEGO_MERGE)
STATIC_MERGE = f"{MERGE} ({STATIC})"
ENSEMBLE = titled(names.ENSEMBLE)


def intro(session: Session[RobustnessSettings]) -> str:
    """Which modalities are withheld, which one is scarce, and which parts of the page ran."""
    fold = session.folds[0]
    names = headline_inputs(fold)[1]
    listed = ", ".join(f"`{name}`" for name in names)
    complete = np.mean([len(f.test.where_present(names, how="all")) for f in session.folds])
    total = np.mean([len(f.test.where_present(names)) for f in session.folds])
    return (
        f"Models see {listed}. On average {complete:.0f} of {total:.0f} test samples have all of "
        f"them by nature. The modality that is scarce in training is `{scarce_modality(fold)}`."
    )


def label(outcome: Outcome) -> str:
    """Name of a method, and of the head where it is not the default."""
    name = titled(outcome.method)
    return f"{name} ({STATIC})" if outcome.arm == STATIC else name


def skipped(session: Session[RobustnessSettings], part: str) -> str:
    """Why a part of the page is empty."""
    if session.settings.parts and part not in session.settings.parts:
        return f"Left out: this run asks for {', '.join(session.settings.parts)} only."
    return (
        "Skipped: none of the modalities is a bag of instances, so there is nothing to cut down or "
        "to repeat."
    )


# --- missing modalities


def _at_rates(found: Findings) -> list[Outcome]:
    return [o for o in found.missing if "rate" in o.facts]


def missing_figure(session: Session[RobustnessSettings], found: Findings) -> Figure | None:
    """Curves over the rate at which modalities are withheld; None if the part did not run."""
    outcomes = _at_rates(found)
    if not outcomes:
        return None
    table = curve_table(session, outcomes, "rate", label)
    return curves(session, table, "Rate at which a modality is withheld")


def withheld(session: Session[RobustnessSettings], found: Findings) -> str:
    """How much is really withheld at each rate, since everyone keeps something."""
    outcomes = _at_rates(found)
    if not outcomes:
        return skipped(session, MISSING)
    shares = pd.DataFrame([o.facts for o in outcomes]).groupby("rate")[["withheld", "draws"]].mean()
    parts = [f"{row.withheld:.0%} at rate {rate:g}" for rate, row in shares.iterrows()]
    return (
        "Everyone keeps at least one modality, so less is withheld than the rate says: "
        f"{', '.join(parts)}, as the mean over "
        f"{pairing.counted(int(shares['draws'].max()), 'draw')} per repeat."
    )


def pattern_table(session: Session[RobustnessSettings], found: Findings) -> pd.DataFrame:
    """Each single modality by itself: one row per method, one column per pattern.

    The first column is the test without anything withheld, if rate 0 was asked for.
    """
    metric = main_metric(session.cohort)
    shown = [o for o in found.missing if "only" in o.facts or o.facts["rate"] == 0]
    table = outcome_tables.value_table(shown, metric, label)
    pattern = outcome_tables.value_table(shown, metric, _pattern)["label"]
    return _spread_table(table.assign(column=pattern), "method")


def _pattern(outcome: Outcome) -> str:
    return f"only {outcome.facts['only']}" if "only" in outcome.facts else COMPLETE


def only_one(found: Findings, modality: str, repeat: int) -> Outcome | None:
    """LegoMerge with one modality only in one repeat; None if the part did not run."""
    for outcome in found.missing:
        if outcome.facts.get("only") == modality and label(outcome) == MERGE:
            if outcome.repeat == repeat:
                return outcome
    return None


def _result(values: pd.Series) -> str:
    return format_result(values.mean(), values.std(), len(values))


def _spread_table(table: pd.DataFrame, heading: str) -> pd.DataFrame:
    """Mean ± standard deviation: labels as rows, ``column`` as columns."""
    groups = table.groupby(["label", "column"], sort=False)["value"]
    text = groups.agg(_result).unstack("column", sort=False)
    return text.fillna("").rename_axis(heading).rename_axis(None, axis=1).reset_index()


def pattern_html(session: Session[RobustnessSettings], found: Findings) -> str:
    """The table of patterns as HTML; empty if the part did not run."""
    if not found.missing:
        return ""
    caption = "Tested with everything, and with one modality only on those who have it"
    return figures.to_html(pattern_table(session, found), caption=caption)


def _missing_lines(session: Session[RobustnessSettings], found: Findings) -> list[str]:
    """Who loses most, and how the merge compares where most is withheld."""
    table = curve_table(session, _at_rates(found), "rate", label)
    low, high = table["x"].min(), table["x"].max()
    lines = [] if low == high else [change_line(table, low, high, "rate")]
    at = f"where modalities are withheld at rate {high:g}"
    most = table[table["x"] == high]
    rivals = (ENSEMBLE, STATIC_MERGE, *_trained(most))
    return lines + verdicts(most, MERGE, rivals, f"{MERGE} {at}")


def _trained(table: pd.DataFrame) -> list[str]:
    """Networks that were trained on all modalities together."""
    merged = table["method"].map(lambda name: METHODS[name].trained == MERGED)
    others = table[~merged]
    return list(dict.fromkeys(others["label"]))


# --- a scarce modality


def imbalance_figure(session: Session[RobustnessSettings], found: Findings) -> Figure | None:
    """Curves over the share of training samples with the scarce modality; None if not run."""
    if not found.imbalance:
        return None
    scarce = found.imbalance[0].facts["scarce"]
    xlabel = f"Share of training samples with {scarce}"
    return curves(session, curve_table(session, found.imbalance, "share", label), xlabel)


def imbalance_sizes(session: Session[RobustnessSettings], found: Findings) -> str:
    """How many training samples had the scarce modality."""
    if not found.imbalance:
        return skipped(session, IMBALANCE)
    facts = pd.DataFrame([o.facts for o in found.imbalance])
    counts = facts.groupby("share")["n_scarce"].mean()
    listed = ", ".join(f"{count:.0f} ({share:.0%})" for share, count in counts.items())
    return (
        f"Training samples that have `{facts['scarce'].iloc[0]}`, on average over repeats: "
        f"{listed}. Nothing is withheld from validation parts, and test samples have everything."
    )


def _imbalance_lines(session: Session[RobustnessSettings], found: Findings) -> list[str]:
    """What scarcity costs every method, and whom the merge beats at the smallest share."""
    table = curve_table(session, found.imbalance, "share", label)
    low, high = table["x"].min(), table["x"].max()
    least = table[table["x"] == low]
    at = f"with {low:.0%} of `{found.imbalance[0].facts['scarce']}`"
    return [
        change_line(table, high, low, "share"),
        *verdicts(least, MERGE, (ENSEMBLE, *_trained(least)), f"{MERGE} {at}"),
    ]


# --- instances of bags


def bag_sizes(session: Session[RobustnessSettings], found: Findings) -> str:
    """How many instances bags have, and what is done to them."""
    if not found.cardinality:
        return skipped(session, CARDINALITY)
    lines = []
    for name in bags(session.folds[0]):
        sizes = [len(bag) for fold in session.folds for bag in fold.test.values[name] if len(bag)]
        lines.append(
            f"* `{name}`: {min(sizes)} to {max(sizes)} instances per test sample, median "
            f"{np.median(sizes):.0f}; {np.mean(np.array(sizes) > 1):.0%} have several."
        )
        if max(sizes) == 1:
            lines.append("  A single instance is all there is: only doubling changes a bag.")
    return "\n".join(lines)


def cardinality_table(session: Session[RobustnessSettings], found: Findings) -> pd.DataFrame:
    """Each method on whole, reduced and doubled bags, and how far its logits move."""
    metric = main_metric(session.cohort)

    def name(outcome: Outcome) -> str:
        return f"{label(outcome)}, {outcome.facts['bag']}"

    table = outcome_tables.value_table(found.cardinality, metric, name)
    condition = outcome_tables.value_table(
        found.cardinality, metric, lambda o: o.facts["condition"]
    )
    text = _spread_table(table.assign(column=condition["label"]), "model")
    moved = {
        name(o): max(
            p.facts["largest_change"]
            for p in found.cardinality
            if name(p) == name(o) and p.facts["condition"] == TWICE
        )
        for o in found.cardinality
    }
    return text.assign(
        **{"largest change of a logit, doubled": [f"{moved[n]:.1e}" for n in text["model"]]}
    )


def cardinality_html(session: Session[RobustnessSettings], found: Findings) -> str:
    """The table of bags as HTML; empty if nothing ran."""
    if not found.cardinality:
        return ""
    caption = "Bags with all instances, with one, and with each instance twice"
    return figures.to_html(cardinality_table(session, found), caption=caption)


def _cardinality_lines(session: Session[RobustnessSettings], found: Findings) -> list[str]:
    """Which models do not see that instances came twice, and what one instance costs."""
    moved = list(dict.fromkeys(label(o) for o in found.cardinality if _moves(o)))
    still = [name for name in dict.fromkeys(map(label, found.cardinality)) if name not in moved]
    metric = main_metric(session.cohort)
    merges = [o for o in found.cardinality if label(o) == MERGE]
    table = outcome_tables.value_table(merges, metric, lambda o: o.facts["condition"])
    groups = table.groupby(["label", "repeat"], sort=False, as_index=False)
    table = groups[["value", "n_train", "n_test"]].mean()
    return [
        f"The logits of {', '.join(still) or 'no model'} are the same, up to rounding, where every "
        "instance comes twice.",
        f"Those of {', '.join(moved) or 'no model'} are not.",
        *verdicts(table, ONE, (ALL,), f"{MERGE} with one instance per bag"),
    ]


def _moves(outcome: Outcome) -> bool:
    """Whether doubled instances change a logit by more than rounding does."""
    facts = outcome.facts
    limit = _ROUNDING * max(1.0, facts["largest_logit"])
    return facts["condition"] == TWICE and facts["largest_change"] > limit


# --- a modality that comes later


def extension_table(session: Session[RobustnessSettings], found: Findings) -> pd.DataFrame:
    """One row per added modality: before, after, trained again, and seconds of training."""
    metric = main_metric(session.cohort)
    rows = []
    for added in dict.fromkeys(o.facts["added"] for o in found.extension):
        row = {"added": added}
        for step, title in ((BEFORE, "merge before"), (AFTER, "merge after"), (AGAIN, _again())):
            part = _step(found, added, step)
            values = pd.Series([o.metrics[metric] for o in part], dtype=float).dropna()
            row[title] = _result(values) if len(values) else ""
        for step, title in ((AFTER, "seconds, new block"), (AGAIN, f"seconds, {_again()}")):
            part = _step(found, added, step)
            row[title] = f"{np.mean([o.seconds for o in part]):.1f}" if part else ""
        rows.append(row)
    return pd.DataFrame(rows)


def _again() -> str:
    return f"{_retrained()} trained again"


def _retrained() -> str:
    return " and ".join(map(titled, RETRAINED))


def _step(found: Findings, added: str, step: str) -> list[Outcome]:
    return [o for o in found.extension if o.facts["added"] == added and o.facts["step"] == step]


def extension_intro(session: Session[RobustnessSettings], found: Findings) -> str:
    """What is compared, or why nothing is."""
    if not found.extension:
        return skipped(session, EXTENSION)
    return (
        "Every modality is the last one in turn; before and after are tested on the samples that "
        "have something without it."
    )


def extension_html(session: Session[RobustnessSettings], found: Findings) -> str:
    """The table of extensions as HTML; empty if the part did not run."""
    if not found.extension:
        return ""
    caption = "A modality added to a finished merge, tested on the same samples before and after"
    return figures.to_html(extension_table(session, found), caption=caption)


def _extension_lines(session: Session[RobustnessSettings], found: Findings) -> list[str]:
    """What each added modality does, and what it costs to train."""
    metric = main_metric(session.cohort)
    lines = []
    for added in dict.fromkeys(o.facts["added"] for o in found.extension):
        both = [*_step(found, added, BEFORE), *_step(found, added, AFTER)]
        table = outcome_tables.value_table(both, metric, lambda o: o.facts["step"])
        rival = {BEFORE: "the merge without it"}
        lines += verdicts(table, AFTER, rival, f"The merge with `{added}` added")
    new = np.mean([o.seconds for o in found.extension if o.facts["step"] == AFTER])
    again = [o.seconds for o in found.extension if o.facts["step"] == AGAIN]
    cost = f"Training encoder and block of what is new took {new:.1f} s on average"
    if again:
        cost += f", training {_retrained()} again {np.mean(again):.1f} s"
    return [*lines, f"{cost}; no block that was there before changed by a single bit."]


def answer(session: Session[RobustnessSettings], found: Findings) -> str:
    """How LegoMerge stands in the first part of the page that ran, in two sentences."""
    metric = main_metric(session.cohort)
    if found.missing or found.imbalance:
        fact, outcomes = ("rate", _at_rates(found)) if found.missing else ("share", found.imbalance)
        table = curve_table(session, outcomes, fact, label)
        place = table["x"].max() if found.missing else table["x"].min()
        hard = table[table["x"] == place]
        what = "modalities are withheld" if found.missing else "a modality is scarce"
        where = f"where {what} at a {fact} of {place:g}"
        networks = hard[hard["label"].isin(_trained(hard))]
        best = pairing.means(networks).index[:1]
        return answers.against(hard, metric, MERGE, (ENSEMBLE, *best), where=where)
    if not (found.cardinality or found.extension):
        return f"No part of this page ran. {skipped(session, CARDINALITY)}"
    fact, outcomes = (
        ("condition", [o for o in found.cardinality if label(o) == MERGE])
        if found.cardinality
        else ("step", found.extension)
    )
    first, rival = (ONE, ALL) if found.cardinality else (AFTER, BEFORE)
    table = outcome_tables.value_table(outcomes, metric, lambda o: o.facts[fact])
    table = table.groupby(["label", "repeat"], sort=False, as_index=False)[
        ["value", "n_train", "n_test"]
    ].mean()
    return answers.against(table, metric, first, [rival], where=f"of {MERGE}")


def conclusion(session: Session[RobustnessSettings], found: Findings) -> str:
    """All parts that ran, under their headings."""
    parts = (
        ("Missing modalities", found.missing, _missing_lines),
        ("A scarce modality", found.imbalance, _imbalance_lines),
        ("Instances per bag", found.cardinality, _cardinality_lines),
        ("A modality added later", found.extension, _extension_lines),
    )
    said = [
        f"**{title}**\n\n{bullets(say(session, found))}"
        for title, outcomes, say in parts
        if outcomes
    ]
    return "\n\n".join(said) or skipped(session, CARDINALITY)
