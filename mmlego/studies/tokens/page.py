"""Tables, figures and sentences of the notebook `token_rebalancing`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mmlego import figures
from mmlego.bench.configurations import Configuration
from mmlego.bench.store.fits import FitStore
from mmlego.bench.trained import TrainedModel
from mmlego.bench.training import fit_settings, objective_of
from mmlego.errors import SettingsError
from mmlego.models.amc import AMC
from mmlego.runs.session import Session
from mmlego.runs.settings import TokenSettings
from mmlego.studies.amc import run as amc
from mmlego.studies.amc.published import published_entropies
from mmlego.studies.tokens import run as tokens
from mmlego.studies.tokens.conflicts import conflict_table
from mmlego.studies.tokens.published_map import digitised, importance_against
from mmlego.studies.tokens.run import ReplacementTrace


def dense(rule: str) -> str:
    """The arm of a rule with a dense layer in the place of experts; not every rule has one."""
    return f"dense, {rule}"


def arms_of(session: Session[TokenSettings]) -> list[Configuration]:
    """The rules that the settings name, and dense models to hold experts against."""
    rules = session.settings.rules
    wanted = [*rules, *(dense(rule) for rule in rules if dense(rule) in amc.ARMS)]
    return amc.arms_for(session.folds, wanted, wanted)


def titles_of(session: Session[TokenSettings]) -> dict[str, str]:
    """What readers call the modalities."""
    return {name: modality.title for name, modality in session.cohort.modalities.items()}


def trace_replacements(
    runs: Sequence[TrainedModel], rule: str, store: FitStore
) -> list[ReplacementTrace]:
    """What the arm of a rule did, one entry per repeat."""
    return [ReplacementTrace(run, store) for run in runs if run.arm == rule]


def table(traces: Sequence[ReplacementTrace], what: str, titles: dict[str, str]) -> pd.DataFrame:
    """One table over all repeats, modalities by their titles.

    Args:
        traces: What was done.
        what: ``counts``, ``shares`` (counts of complete samples), ``pairs`` or ``scores``.
        titles: What to call modalities.
    """
    make, options = {
        "counts": (tokens.count_table, {}),
        "shares": (tokens.count_table, {"complete": True}),
        "pairs": (tokens.pair_table, {}),
        "scores": (tokens.score_table, {}),
    }[what]
    found = pd.concat([trace.table(make, **options) for trace in traces], ignore_index=True)
    for column in ("modality", "donor", "replaced_modality"):
        if column in found:
            found[column] = found[column].replace(titles)
    return found


def _tokens(traces: Sequence[ReplacementTrace]) -> int:
    """Tokens of each modality."""
    return int(traces[0].table(tokens.size_table)["tokens"].iloc[0])


def exchange_figure(traces: Sequence[ReplacementTrace], titles: dict[str, str]) -> Figure:
    """How many tokens are replaced, and by whom."""
    return figures.replaced_histograms(
        table(traces, "counts", titles),
        table(traces, "pairs", titles),
        tokens=_tokens(traces),
        title=traces[0].trained.chosen_configuration.title,
    )


def importance_figure(traces: Sequence[ReplacementTrace], titles: dict[str, str]) -> Figure:
    """How importance, of samples with all modalities, and token scores are spread."""
    return figures.importance_histograms(
        table(traces, "shares", titles),
        table(traces, "scores", titles),
        title=traces[0].trained.chosen_configuration.title,
    )


def map_figure(trace: ReplacementTrace, shown: int, titles: dict[str, str]) -> Figure:
    """Whose token stands where, in random test samples of one repeat."""
    names = trace.names
    return figures.replacement_map(
        tokens.origins_of(trace.table(tokens.origin_table, shown=shown)),
        names,
        [titles.get(name, name) for name in names],
        title=trace.trained.chosen_configuration.title,
    )


def cases_figure(trace: ReplacementTrace, titles: dict[str, str]) -> Figure:
    """The samples in which one modality has the lowest and the highest importance.

    An image where there is one, as published, else the first modality.
    """
    kinds = trace.trained.fold.kinds
    images = [n for n in trace.names if kinds[n] in ("image", "volume", "bag")]
    of = (images or list(trace.names))[0]
    word = "risk" if trace.trained.fold.task == "survival" else "p(true class)"
    found = trace.table(tokens.extremes, of=of, titles=titles)
    return figures.extreme_cases(
        found, of=titles.get(of, of), risk_word=word, title=trace.trained.chosen_configuration.title
    )


def importance_sentences(traces: Sequence[ReplacementTrace], titles: dict[str, str]) -> str:
    """How uneven importance is in samples with all modalities, and what the rule makes of it."""
    counts = table(traces, "shares", titles)
    mean = counts.groupby("modality", sort=False)[["importance", "replaced"]].mean()
    equal = 1 / len(mean)
    far = (counts["importance"] - equal).abs()
    weights = [value for trace in traces for value in trace.table(tokens.lambda_table)["weight"]]
    lines = [
        f"* {traces[0].trained.chosen_configuration.title}, mean importance: "
        + ", ".join(f"{name} {row.importance:.3f}" for name, row in mean.iterrows())
        + f"; an equal share is {equal:.3f}. In {np.mean(far < 0.05):.0%} of all cases a modality "
        "is within .05 of it.",
        "* Replaced tokens on average: "
        + ", ".join(f"{name} {row.replaced:.1f}" for name, row in mean.iterrows())
        + f", of {_tokens(traces)}.",
    ]
    if weights:
        lines.append(
            f"* Lambda after training lies between {min(weights):.2f} and {max(weights):.2f}; only "
            "above 1 could a token score be negative."
        )
    return "\n".join(lines)


def answer(told: Mapping[str, Sequence[ReplacementTrace]], titles: dict[str, str]) -> str:
    """How uneven importance is, and how many tokens each rule replaces, in two sentences."""
    counts = {rule: table(one, "shares", titles) for rule, one in told.items()}
    rule, first = next(iter(counts.items()))
    if first.empty:
        return "No sample has two modalities or more. Nothing is replaced."
    mean = first.groupby("modality", sort=False)["importance"].mean()
    equal = 1 / len(mean)
    near = np.mean((first["importance"] - equal).abs() < 0.05)
    listed = ", ".join(f"{name} {value:.3f}" for name, value in mean.items())
    replaced = "; ".join(
        f"{amc.title_of(name)} "
        + ", ".join(f"{m} {n:.1f}" for m, n in part.groupby("modality")["replaced"].mean().items())
        for name, part in counts.items()
    )
    return (
        f"Under {amc.title_of(rule)} the mean importance of the modalities is {listed}, where an "
        f"equal share is {equal:.3f} and {near:.0%} of all cases are within .05 of it. "
        f"Of {told[rule][0].trained.network(AMC).options.tokens} tokens are replaced on average: "
        f"{replaced}."
    )


def entropies(runs: Sequence[TrainedModel], rule: str, store: FitStore) -> pd.DataFrame:
    """Entropy under own and under equal importance, of the arm of a rule; see ``entropy_table``."""
    return pd.concat(
        [
            ReplacementTrace(run, store, importance).table(tokens.entropy_table)
            for run in runs
            if run.arm == rule
            for importance in (None, "equal")
        ],
        ignore_index=True,
    )


def entropy_sentences(runs: Sequence[TrainedModel], rules: Sequence[str], store: FitStore) -> str:
    """What entropies say of the published claim, rule by rule."""
    if runs[0].fold.task == "survival":
        return "Entropy is that of predicted classes; this cohort has survival times."
    lines = []
    for rule in rules:
        wide = entropies(runs, rule, store).pivot_table(
            index="repeat", columns="scores", values="entropy"
        )
        lower = int((wide["own"] < wide["equal"]).sum())
        lines.append(
            f"* {amc.title_of(rule)}: {wide['own'].mean():.4f} nats with its own scores and "
            f"{wide['equal'].mean():.4f} with equal ones; own is lower in {lower} of {len(wide)} "
            "repeats."
        )
    own, equal = published_entropies()
    lines.append(f"* Published, on other data: {own} with own scores and {equal} with equal ones.")
    return "\n".join(lines)


def against_alone(
    done: Mapping[str, Sequence[ReplacementTrace]], alone: Sequence[TrainedModel], metric: str
) -> tuple[pd.DataFrame, str]:
    """Importance beside what a modality is worth alone, and the correlations in words.

    Args:
        done: What the re-balancing models did, by rule.
        alone: AMC on each modality by itself, on the same folds.
        metric: Score of these.

    Returns:
        rule, modality, importance (of complete samples), replaced, alone; and sentences.
    """
    scores = pd.DataFrame(
        [(run.names[0], run.outcome.metrics[metric]) for run in alone], columns=["name", "score"]
    )
    worth = scores.groupby("name")["score"].mean()
    found, lines = [], []
    for rule, traces in done.items():
        counts = table(traces, "shares", {})
        mean = counts.groupby("modality")[["importance", "replaced"]].mean()
        found.append(mean.join(worth.rename("alone")).reset_index().assign(rule=rule))
        if len(mean) > 2:
            lines += [
                f"* {amc.title_of(rule)}, {row.first} and {row.second}: rank correlation "
                f"{row.spearman:+.2f} over {row.n} modalities."
                for row in importance_against(worth.to_dict(), counts).itertuples()
            ]
    beside = pd.concat(found, ignore_index=True)
    beside.insert(0, "rule", beside.pop("rule"))
    few = "With fewer than three modalities there is no correlation to speak of."
    return beside, "\n".join(lines) or few


def conflicts_of(
    runs: Sequence[TrainedModel], settings: TokenSettings, titles: dict[str, str], store: FitStore
) -> pd.DataFrame:
    """Cosines of gradients, with experts and with a dense layer: rule, repeat, kind, pair, cosine.

    Raises:
        SettingsError: If no rule of the settings has a dense model beside it.
    """
    parts = []
    for rule in settings.rules:
        for kind, arm in (("experts", rule), ("dense", dense(rule))):
            for run in (run for run in runs if run.arm == arm and dense(rule) in amc.ARMS):
                found = _conflicts(run, settings, titles, store)
                parts.append(found.assign(kind=kind, rule=rule))
    if not parts:
        raise SettingsError(
            f"conflicts: expected one of the rules {list(amc.RULES)}, got {settings.rules}; add it"
        )
    return pd.concat(parts, ignore_index=True)


def _conflicts(
    run: TrainedModel, settings: TokenSettings, titles: dict[str, str], store: FitStore
) -> pd.DataFrame:
    objective = objective_of(run.fold, fit_settings(settings, **run.chosen_configuration.fit))
    return run.measured(
        store,
        conflict_table,
        lambda trained: conflict_table(trained, objective, settings.batch_size, titles),
        batch_size=settings.batch_size,
        titles=titles,
    )


def conflict_figure(table: pd.DataFrame, rule: str) -> Figure | None:
    """Cosines of gradients under one rule; None where it has no dense model beside it."""
    part = table[table["rule"] == rule]
    if part.empty:
        return None
    return figures.conflict_histograms(part, title=amc.title_of(rule))


def conflict_sentences(table: pd.DataFrame) -> str:
    """Median cosines by rule and pair, and whether experts agree more than the dense layer."""
    lines = []
    for rule, part in table.groupby("rule", sort=False):
        wide = part.groupby(["pair", "kind"])["cosine"].median().unstack("kind")
        if not {"experts", "dense"} <= set(wide.columns):
            continue
        lines += [
            f"* {amc.title_of(rule)}, {pair}: median {row.experts:.2f} with experts and "
            f"{row.dense:.2f} with the dense layer."
            for pair, row in wide.iterrows()
        ]
        higher = int((wide["experts"] > wide["dense"]).sum())
        lines.append(
            f"* {amc.title_of(rule)}: experts have the higher median in {higher} of {len(wide)} "
            "pairs (published: in two of three, on other data)."
        )
    one = "Only one kind of feed-forward ran, so there is nothing to compare."
    return "\n".join(lines) or one


def record(
    done: dict[str, Sequence[ReplacementTrace]], conflicts: pd.DataFrame, evidence: pd.DataFrame
) -> dict[str, object]:
    """What a run's record keeps of its tokens: means, medians, and the evidence."""
    means = {}
    for rule, traces in done.items():
        counts = table(traces, "counts", {})
        found = counts.groupby("modality")[["importance", "count", "replaced"]].mean()
        means[rule] = found.round(6).to_dict("index")
    cosines = conflicts.groupby(["rule", "kind", "pair"])["cosine"].median().round(6)
    return {
        "means": means,
        "median_cosine": [
            {"rule": rule, "kind": kind, "pair": pair, "cosine": value}
            for (rule, kind, pair), value in cosines.items()
        ],
        "evidence": [
            {key: None if value != value else value for key, value in row.items()}
            for row in evidence.drop(columns="fails").to_dict("records")
        ],
    }


def totals_figure(done: dict[str, Sequence[ReplacementTrace]]) -> Figure:
    """Replaced tokens of a sample in all, as published and under each rule."""
    rows = []
    for rule, traces in done.items():
        counts = table(traces, "counts", {})
        total = counts.groupby(["repeat", "sample"])["replaced"].sum()
        rows.append(pd.DataFrame({"rule": rule, "total": total.to_numpy()}))
    return figures.digitised_totals(digitised(), pd.concat(rows, ignore_index=True))
