"""What a trained AMC loses where modalities are missing, in both ways to treat them."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from mmlego.bench.store.fits import FitStore
from mmlego.bench.trained import TrainedModel
from mmlego.bench.withholding import keep_only
from mmlego.data.folds.samples import Samples
from mmlego.learning.metrics.scores import evaluate
from mmlego.learning.objectives import objective_for
from mmlego.learning.predict import predict_logits
from mmlego.models.amc import AMC
from mmlego.models.amc.rebalancing import MISSING_MODES

COMPLETE, EVERYBODY = "complete samples only", "all, as they are"
COLUMNS = ["repeat", "rule", "tested", "mode", "n", "value", "lacking"]
_STANDS_IN = {EVERYBODY: "incomplete (as some are among all that are tested)"}
_NOTHING = "Nothing to withhold: neither rule ran on two modalities or more."


def missing_table(
    runs: Sequence[TrainedModel], metric: str, store: FitStore, *, survival_loss: str = "hazards"
) -> pd.DataFrame:
    """Score trained models on test parts with less than there is, without training again.

    All rows but the first use every test sample. The modality that is withheld is withheld from
    everybody who has another one.

    Args:
        runs: Trained arms with two modalities or more.
        metric: Name of a metric.
        store: What knows tables of earlier runs.
        survival_loss: What the models were trained on, which says what their outputs mean.

    Returns:
        repeat, rule (title of the arm), tested ("complete samples only", "all, as they are",
        "without <modality>"), mode ("isolate" or "impute"), n, value, and lacking: how many
        training samples of that arm lack that modality, or any where all are tested as they are
        (None where no test sample does). Where none does, nothing was learned that could stand in
        for it, and ``isolate`` puts random tokens there. No row for a model of one modality.

    Source: AMC paper, table 9, which compares complete samples with all; the rest is ours.
    """
    tables = [
        trained.measured(
            store,
            missing_table,
            lambda it: _scores(it, metric, survival_loss),
            metric=metric,
            survival_loss=survival_loss,
        ).assign(repeat=trained.fold.repeat, rule=trained.chosen_configuration.title)
        for trained in runs
        if len(trained.names) > 1
    ]
    if not tables:
        return pd.DataFrame(columns=COLUMNS)
    return pd.concat(tables, ignore_index=True)[COLUMNS]


def _scores(trained: TrainedModel, metric: str, survival_loss: str) -> pd.DataFrame:
    """Scores of one model: tested, mode, n, value, lacking."""
    objective = objective_for(trained.fold, survival_loss=survival_loss)
    rows = []
    for mode in MISSING_MODES:
        model = with_mode(trained.network(AMC), mode)
        for tested, part in parts_of(trained):
            prediction = objective.predict(predict_logits(model, part, device="cpu"))
            score = evaluate(prediction, part, trained.fold.train, trained.fold)[metric]
            row = {"tested": tested, "mode": mode, "n": len(part), "value": score}
            rows.append(row | {"lacking": _lacking(trained, tested)})
    # A count, or none where no test sample lacks anything.
    return pd.DataFrame(rows).astype({"lacking": float})


def with_mode(model: AMC, mode: str) -> AMC:
    """A copy of an AMC that treats absent modalities in another way."""
    changed = copy.deepcopy(model)
    changed.options = replace(changed.options, missing_mode=mode)
    return changed


def parts_of(trained: TrainedModel) -> Iterator[tuple[str, Samples]]:
    """The complete samples of the test part, all of it, and each modality withheld in turn."""
    test, names = trained.test, sorted(trained.names)
    yield COMPLETE, test.where_present(names, how="all")
    yield EVERYBODY, test
    for name in names:
        others = test.has([other for other in names if other != name])
        # Who has nothing else keeps it, so that every row stands on the same samples.
        yield f"without {name}", keep_only(test, {name: ~others})


def _lacking(trained: TrainedModel, tested: str) -> int | None:
    """How many training samples lack what is withheld, or anything where tested ones do."""
    train, names = trained.fold.train, trained.names
    if tested == EVERYBODY and not bool(trained.test.has(names, how="all").all()):
        return int((train.has(names) & ~train.has(names, how="all")).sum())
    name = tested.removeprefix("without ")
    return int((~train.present[name]).sum()) if name in names else None


def missing_summary(table: pd.DataFrame) -> pd.DataFrame:
    """Mean over the repeats, tests in rows and rules by mode in columns, for reading."""
    if table.empty:
        return pd.DataFrame({"tested": [_NOTHING]})
    wide = table.pivot_table(
        index="tested", columns=["rule", "mode"], values="value", aggfunc="mean", sort=False
    )
    wide.columns = [f"{rule}, {mode}" for rule, mode in wide.columns]
    samples = table.groupby("tested", sort=False)["n"].mean().round().astype(int)
    found = wide.round(3).reset_index()
    found.insert(1, "samples", found["tested"].map(samples))
    # Arms that are trained on complete samples lack nothing there; the column is about the others.
    most = table.groupby(["tested", "repeat"], sort=False)["lacking"].max()
    lacking = most.groupby("tested", sort=False).mean()
    words = {name: "" if np.isnan(count) else f"{count:.0f}" for name, count in lacking.items()}
    found.insert(2, "lacking in training", found["tested"].map(words))
    return found


def missing_sentences(table: pd.DataFrame) -> str:
    """Which modality is missed most, and whether replacing absent tokens helps, in words."""
    if table.empty:
        return _NOTHING
    means = table.groupby(["rule", "tested", "mode"], sort=False)["value"].mean().unstack("mode")
    lines = []
    for rule, part in means.groupby(level="rule", sort=False):
        part = part.droplevel("rule")
        whole = part.loc[EVERYBODY, "isolate"]
        lost = (whole - part["isolate"]).drop([COMPLETE, EVERYBODY])
        worst = lost.idxmax()
        gain = (part["impute"] - part["isolate"]).drop([COMPLETE, EVERYBODY]).mean()
        lines.append(
            f"* {rule}: {part.loc[COMPLETE, 'isolate']:.3f} on complete samples and {whole:.3f} on "
            f"all; lowest {worst} ({-lost[worst]:+.3f}). Replacing the tokens of what is "
            f"withheld changes the score by {gain:+.3f} on average."
        )
    return "\n".join(lines + _never_trained(table))


def _never_trained(table: pd.DataFrame) -> list[str]:
    """Which stand-ins of which models no training sample needed."""
    never: dict[tuple[str, ...], list[str]] = {}
    for rule, part in table[table["lacking"] == 0].groupby("rule", sort=False):
        tests = (_STANDS_IN.get(test, test) for test in part["tested"].unique())
        never.setdefault(tuple(tests), []).append(str(rule))
    return [
        f"* {'; '.join(rules)}: no training sample was {' or '.join(tests)}, so what stands in "
        "there was never trained, and these rows say how the model takes noise, not how it would "
        "do if it had learned to go without."
        for tests, rules in never.items()
    ]
