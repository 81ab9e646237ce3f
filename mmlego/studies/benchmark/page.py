"""Tables, figures and sentences of the page of the notebook `benchmark`."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from mmlego import figures
from mmlego.bench.fold_bench import Bench
from mmlego.bench.inputs import INPUT_TITLES, choose_inputs
from mmlego.bench.outcome import Outcome
from mmlego.bench.trained import TrainedModel
from mmlego.data.cards.card import published_entry
from mmlego.data.cohorts.cohort import tables_of
from mmlego.figures import style
from mmlego.learning.metrics.scores import main_metric
from mmlego.learning.statistics import pairing
from mmlego.methods.method import AS_A_WHOLE, ESTIMATOR
from mmlego.methods.registry import METHODS
from mmlego.reporting import outcomes, sentences, standings
from mmlego.reporting.standings import standing_rows, summarize
from mmlego.reporting.tables import mean_of, mean_with_sd
from mmlego.runs.session import Session
from mmlego.runs.settings import BenchmarkSettings


def input_sets(session: Session[BenchmarkSettings]) -> str:
    """The sets of modalities that models of several modalities are given, as a list."""
    found = choose_inputs(session.folds[0], session.settings.inputs)
    lines = [
        f"* **{INPUT_TITLES[kind]}**: {', '.join(f'`{name}`' for name in names)}"
        for kind, names in found.items()
    ]
    return "\n".join(lines) or "* only single modalities"


def rows(session: Session[BenchmarkSettings]) -> pd.DataFrame:
    """Rows of the main table of this cohort."""
    return standing_rows(
        session.frame(),
        metric=main_metric(session.cohort),
        tables=tables_of(session.cohort),
    )


def curves(session: Session[BenchmarkSettings]) -> pd.DataFrame:
    """Training histories of the networks of several modalities, on the main set of inputs."""
    shown = [o for o in session.outcomes if o.history and METHODS[o.method].kind != ESTIMATOR]
    many = [o for o in shown if o.inputs == _main(session) and METHODS[o.method].trained]
    return outcomes.history_table(many or shown, name=lambda outcome: METHODS[outcome.method].title)


def _main(session: Session[BenchmarkSettings]) -> str:
    """The set of inputs that the published runs would have used."""
    return standings.published_inputs(session.frame())


def forest(session: Session[BenchmarkSettings], which: str) -> Figure | None:
    """Forest plot of one part of the comparison; None where nothing belongs to it.

    Args:
        session: The run.
        which: ``multimodal`` (main set of inputs), ``others`` (the other sets), ``unimodal``, or
            ``classical``.
    """
    metric = main_metric(session.cohort)
    main = _main(session)
    chosen = [o for o in session.outcomes if _part(o, main) == which]
    if not chosen:
        return None
    tables = tables_of(session.cohort)
    table = outcomes.forest_table(
        chosen,
        metric,
        session.cohort,
        session.settings.split_unit,
        name=lambda outcome: _row_name(outcome, which, tables),
    )
    return figures.forest_plot(
        table,
        metric=metric,
        test_train_ratio=sentences.ratio(session),
        order="value",
        published_label=sentences.published_label(session.cohort, session.settings.split_unit),
    )


def _part(outcome: Outcome, main: str) -> str:
    """Which figure a row belongs to."""
    if METHODS[outcome.method].kind == ESTIMATOR:
        return "classical"
    if not outcome.inputs:
        return "unimodal"
    return "multimodal" if outcome.inputs == main else "others"


def _row_name(outcome: Outcome, which: str, tables: Sequence[str]) -> str:
    title = standings.BEST_TITLE if outcome.chosen_by else METHODS[outcome.method].title
    if which == "multimodal":
        return title
    many = INPUT_TITLES.get(outcome.inputs, "")
    return f"{title}, {many or outcomes.modality_label(outcome.modalities, tables)}"


def example(session: Session[BenchmarkSettings], bench: Bench) -> TrainedModel | None:
    """The network that the page works through: the first of the run on the main set of inputs.

    One that is trained as a whole where there is one; None where the run has references only.
    """
    main, repeat = _main(session), bench.fold.repeat
    found = [
        o
        for o in session.outcomes
        if o.inputs == main
        and o.repeat == repeat
        and not o.chosen_by
        and METHODS[o.method].kind != ESTIMATOR
    ]
    if not found:
        return None
    first = min(found, key=lambda outcome: METHODS[outcome.method].trained != AS_A_WHOLE)
    return bench.combined(first.method, choose_inputs(bench.fold, [main])[main], main)


def answer(session: Session[BenchmarkSettings]) -> str:
    """The best way of combining in this run, and how many of them beat the simplest reference."""
    metric = style.word(main_metric(session.cohort))
    table = rows(session)
    columns = table["method"].map(lambda name: METHODS[name].kind == ESTIMATOR)
    many = table["group"] == "multimodal"
    networks, references = table[many & ~columns], table[many & columns]
    what = "reference without a network"
    if references.empty:
        what, references = "model of a single modality", table[~many]
    shown = networks if len(networks) else table
    ranked = pairing.means(shown)
    first, repeats = str(ranked.index[0]), pairing.counted(int(ranked["count"].iloc[0]), "repeat")
    text = (
        f"Of {len(ranked)} models {'of several modalities' if len(networks) else ''}, "
        f"**{first}** has the highest mean {metric}, "
        f"{mean_of(ranked, first)} over {repeats}. "
    ).replace(" ,", ",")
    if networks.empty or references.empty:
        return f"{text}Nothing to compare it with is part of this run."
    best = str(pairing.means(references).index[0])
    pairs = pairing.adjust(
        [pairing.compare(pd.concat([networks, references]), name, best) for name in ranked.index]
    )
    above = sum(pair.mean > 0 for pair in pairs)
    told = sum(pair.mean > 0 and pair.decided for pair in pairs)
    return (
        f"{text}{_counted(above)} a higher mean than the best {what}, {best} "
        f"({pairing.means(references)['mean'].iloc[0]:.3f}), and {told} of these differences can "
        "be told from chance."
    )


def _counted(above: int) -> str:
    return {0: "None of them has", 1: "One of them has"}.get(above, f"{above} of them have")


def conclusion(session: Session[BenchmarkSettings]) -> str:
    """What the comparison says."""
    return standings.conclusion(rows(session), style.word(main_metric(session.cohort)))


def verdicts(session: Session[BenchmarkSettings]) -> str:
    """Differences to LegoMerge and LegoFuse, as HTML; empty where neither ran."""
    table = standings.verdict_table(rows(session))
    if table.empty:
        return ""
    return figures.to_html(table, caption="Differences, interval, and p after Holm")


def classical_conclusion(session: Session[BenchmarkSettings]) -> str:
    """Whether the networks of several modalities beat the best reference."""
    table = rows(session)
    columns = table["method"].map(lambda name: METHODS[name].kind == ESTIMATOR)
    classical = table[columns & (table["group"] == "multimodal")]
    networks = table[~columns & (table["group"] == "multimodal")]
    if classical.empty or networks.empty:
        return "Nothing to compare: either no reference or no fusion network ran."
    best = classical.groupby("label")["value"].mean().sort_values().index[-1]
    value = classical[classical["label"] == best]["value"].mean()
    means = networks.groupby("label")["value"].mean()
    above = int((means > value).sum())
    return (
        f"The best reference on all modalities is {best} ({value:.3f}).\n"
        f"{above} of {len(means)} networks and merges have a higher mean."
    )


def standing_table(session: Session[BenchmarkSettings]) -> pd.DataFrame:
    """Every row with its spread, the first five repeats, and the published value."""
    cohort = session.cohort
    table = summarize(
        rows(session),
        published_entry(cohort.card),
        tables_of(cohort),
        session.settings.split_unit,
    )
    return readable(table)


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """A summary as text."""

    def texts(mean: str, sd: str) -> list[str]:
        return [mean_with_sd(*pair, absent="") for pair in zip(table[mean], table[sd], strict=True)]

    return pd.DataFrame(
        {
            "group": table["group"],
            "model": table["label"],
            "result": texts("mean", "sd"),
            "repeats": table["n"],
            "first five": texts("mean_first", "sd_first"),
            "published": texts("published", "published_sd"),
            "difference": [f"{x:+.3f}" if x == x else "" for x in table["difference"]],
            "comparable": [
                "" if p != p else ("yes" if ok else f"no: {why}")
                for p, ok, why in zip(
                    table["published"], table["comparable"], table["why"], strict=True
                )
            ],
        }
    )
