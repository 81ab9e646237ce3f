"""Five requirements on methods, each checked by running them: the notebook on requirements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from mmlego.errors import MMLegoError
from mmlego.figures.style import title
from mmlego.learning.predict import evaluating
from mmlego.learning.seeding import torch_seed
from mmlego.models.encoders.unimodal import Unimodal
from mmlego.runs.settings import RequirementsSettings
from mmlego.studies.checks.contenders import CONTENDERS, MERGES_OF_WEIGHTS, Contender
from mmlego.studies.checks.scaling import FACTORS, ROUNDING, CostProbe, PowerLaw, fits, sweep
from mmlego.studies.checks.trials import NAMES, TUNE_EPOCHS, Trial, score_over, trials

REQUIREMENTS = {
    "training": "No end-to-end training",
    "missing": "Missing modalities and imbalance",
    "disjoint": "Non-overlapping training sets",
    "architecture": "Any encoder",
    "scaling": "At most linear cost",
}
METHODS: dict[str, Contender] = {
    name: contender
    for name, contender in (CONTENDERS | MERGES_OF_WEIGHTS).items()
    if not contender.joins_tables
}
YES, MASKS, NO = "yes", "with masks", "no"
UNCHANGED = 1e-6
_SWEPT = ("tokens", "modalities")
Laws = dict[tuple[str, str], PowerLaw]


@dataclass(frozen=True)
class Check:
    """One requirement on one method, and what came of running it.

    Attributes:
        requirement: Key of ``REQUIREMENTS``.
        method: Key of ``METHODS``.
        verdict: ``yes``, ``with masks`` or ``no``.
        evidence: The numbers behind it, or the error that the method raised.
        numbers: The same numbers by name.
    """

    requirement: str
    method: str
    verdict: str
    evidence: str
    numbers: dict[str, float] = field(default_factory=dict)


Found = tuple[str, str, dict[str, float]]


def check_all(settings: RequirementsSettings) -> list[Check]:
    """Check every requirement on every method.

    Source: Hemker et al. 2025, table 2, for the five requirements. Its verdicts are not known here.
    """
    tasks, laws = trials(settings), _laws(settings)
    checks: dict[str, Callable[[Contender], Found]] = {
        "training": lambda contender: _training(contender, tasks),
        "missing": lambda contender: _missing(contender, tasks),
        "disjoint": lambda contender: _disjoint(contender, tasks),
        "architecture": lambda contender: _architecture(contender, tasks),
        "scaling": lambda contender: _scaling(contender, laws),
    }
    return [
        Check(requirement, method, *_run(check, contender))
        for method, contender in METHODS.items()
        for requirement, check in checks.items()
    ]


def _run(check: Callable[[Contender], Found], contender: Contender) -> Found:
    """Run a check; an error that a method raises is its answer."""
    try:
        return check(contender)
    except (MMLegoError, RuntimeError, TypeError) as problem:
        text = " ".join(str(problem).split()).split("; ")[0]
        return NO, f"raised {type(problem).__name__}: {text[:160]}", {}


def _training(contender: Contender, tasks: Sequence[Trial]) -> Found:
    """Score on pairs before any step of training on several modalities together."""
    score = score_over(tasks, lambda t: t.auc(t.untrained_whole(contender, "complete")))
    return (
        YES if score.above_chance else NO,
        f"AUC {score} without a joint step of training",
        {"auc": score.mean},
    )


def _auc_without(contender: Contender, name: str, task: Trial) -> float:
    """AUC of a method that was trained on complete samples, with a modality absent at test."""
    return task.auc(task.whole(contender, "complete"), name)


def _missing(contender: Contender, tasks: Sequence[Trial]) -> Found:
    """Scores with a modality absent or rare, and whether the content of an absent one matters."""
    without = {name: score_over(tasks, partial(_auc_without, contender, name)) for name in NAMES}
    rare = score_over(tasks, lambda t: t.auc(t.whole(contender, "imbalanced")))
    effect = max(content_effect(t.whole(contender, "complete"), t) for t in tasks)
    good = all(score.above_chance for score in (*without.values(), rare)) and effect <= UNCHANGED
    words = ", ".join(f"{score} without the {name}" for name, score in without.items())
    return (
        YES if good else NO,
        f"AUC {words}, {rare} trained with one {NAMES[1]} in "
        f"{1 / tasks[0].settings.imbalance:.3g}; content of what is absent moves logits by "
        f"{effect:.1g}",
        {f"auc_without_{name}": score.mean for name, score in without.items()}
        | {"auc_imbalanced": rare.mean, "content_effect": effect},
    )


@torch.no_grad()
def content_effect(model: nn.Module, trial: Trial) -> float:
    """Largest change of a logit when what is marked as absent holds NaN instead of zeros.

    Every other test sample lacks the modality. Infinite if a logit is not finite.
    """
    batch = trial.test.batch()
    lacking = torch.arange(len(batch)) % 2 == 0
    changes = []
    with evaluating(model):
        for name in NAMES:
            logits = [
                model(batch.inputs | {name: _filled(batch.inputs[name], lacking, value)},
                      batch.present | {name: ~lacking}, batch.masks)
                for value in (0.0, torch.nan)
            ]  # fmt: skip
            changes.append((logits[0] - logits[1]).abs().nan_to_num(nan=torch.inf).max())
    return float(torch.stack(changes).max())


def _filled(x: Tensor, rows: Tensor, value: float) -> Tensor:
    return x.masked_fill(rows.view(-1, *[1] * (x.ndim - 1)), value)


def _disjoint(contender: Contender, tasks: Sequence[Trial]) -> Found:
    """Score on pairs after training on samples of which none has both modalities.

    First with parts that are trained in runs of their own; where there are none, or where they are
    no better than chance without more, in one run over both sets, with flags of presence.
    """
    numbers, said = {}, []
    if contender.part is not None:
        apart = score_over(tasks, lambda t: t.auc(t.untrained_whole(contender, "disjoint")))
        numbers["auc_separate"] = apart.mean
        said.append(f"AUC {apart} on pairs after separate trainings")
        if apart.above_chance:
            return YES, said[0], numbers
    if contender.joint == "none":
        return NO, said[0], numbers
    together = score_over(tasks, lambda t: t.auc(t.whole(contender, "disjoint")))
    numbers["auc_together"] = together.mean
    said.append(f"AUC {together} on pairs after one training over both sets with presence flags")
    return MASKS if together.above_chance else NO, "; ".join(said), numbers


class LastState(nn.Module):
    """An encoder that nothing here is made for: a recurrent network, read at its last step."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        """Build the recurrent layer."""
        super().__init__()
        self.layer = nn.GRU(in_dim, out_dim, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """Encode series (b, n, c) as (b, out_dim)."""
        return self.layer(x)[0][:, -1]


def _architecture(contender: Contender, tasks: Sequence[Trial]) -> Found:
    """Score with two foreign encoders of different architecture and width."""
    score = score_over(tasks, lambda t: t.auc(_with_encoders(contender, t)))
    return (
        YES if score.above_chance else NO,
        f"AUC {score} with a perceptron and a recurrent encoder, code unchanged",
        {"auc": score.mean},
    )


def _with_encoders(contender: Contender, trial: Trial) -> nn.Module:
    """The method round two encoders, trained as it is trained otherwise.

    Raises:
        TypeError: If its class takes no encoders.
        ShapeError: If it cannot combine parts of different architecture.
    """
    sizes, width = trial.sizes(), trial.settings.width
    with torch_seed(trial.seed):
        encoders = {
            "table": (nn.Sequential(nn.Linear(width, 10), nn.Tanh()), 10),
            "series": (LastState(width, 14), 14),
        }
        if contender.wrap is None:
            return contender.build(sizes, encoders={n: e for n, (e, _) in encoders.items()})
        parts = {
            name: contender.wrap(sizes, name, inner, out) for name, (inner, out) in encoders.items()
        }
    for name, part in parts.items():
        trial.fit(Unimodal(name, part), trial.complete.select([name]))
    model = contender.whole(sizes, parts)
    if contender.joint == "tuning":
        trial.fit(model, trial.complete, epochs=TUNE_EPOCHS)
    return model


def _laws(settings: RequirementsSettings) -> Laws:
    """Power laws of the operations of a training step over tokens and modalities."""
    probe = CostProbe.of(settings, tokens=16, width=settings.width, batch=1, hidden=settings.hidden)
    values = {"tokens": settings.token_counts, "modalities": settings.modality_counts}
    return fits(
        pd.concat([sweep(METHODS.values(), probe, factor, values[factor]) for factor in _SWEPT])
    )


def _scaling(contender: Contender, laws: Laws) -> Found:
    """Exponents of the operations of a training step, which are the same on every machine.

    Counts are exact, so what decides is the slope at the end of the range; the interval of the
    fitted exponent says how much the line is bent, not how sure it is.
    """
    found = {factor: laws[contender.method, factor] for factor in _SWEPT}
    good = all(law.last <= 1.0 + ROUNDING for law in found.values())
    words = ", ".join(
        f"{FACTORS[factor].lower()} {law}, {law.last:.2f} at the end"
        for factor, law in found.items()
    )
    return (
        YES if good else NO,
        f"exponent of the operations over {words}",
        {f"exponent_{factor}": law.exponent for factor, law in found.items()}
        | {f"last_{factor}": law.last for factor, law in found.items()},
    )


def verdict_table(checks: Sequence[Check]) -> pd.DataFrame:
    """Verdicts, one row per method and one column per requirement, for reading."""
    frame = pd.DataFrame([vars(check) for check in checks])
    wide = frame.pivot(index="method", columns="requirement", values="verdict")
    wide = wide.loc[list(dict.fromkeys(frame["method"])), list(REQUIREMENTS)]
    return wide.rename(columns=REQUIREMENTS).reset_index().rename_axis(columns=None)


def evidence_table(checks: Sequence[Check], requirement: str) -> pd.DataFrame:
    """Verdict and evidence of one requirement, one row per method."""
    return pd.DataFrame(
        {"method": check.method, "verdict": check.verdict, "evidence": check.evidence}
        for check in checks
        if check.requirement == requirement
    )


def describe(settings: RequirementsSettings) -> str:
    """The task, and what counts as passing."""
    return (
        f"{settings.repeats} draws of a task with a table of {settings.width} features and a "
        f"series of {settings.tokens} steps; {settings.n_train} samples to train on, "
        f"{settings.n_test} to test on, {settings.epochs} epochs.\n"
        "The class depends on one factor that only the table shows and one that only the series "
        "shows.\n"
        "A score passes if the 95 % interval of its mean over draws lies above chance: a low bar, "
        "which asks whether a method can work at all, not how well.\n"
        "The verdicts printed in the paper are not known here; none is copied, all are results."
    )


def answer(checks: Sequence[Check]) -> str:
    """How many requirements merge and fusion meet, and how many other methods do as well."""
    met = {m: sum(c.verdict == YES for c in checks if c.method == m) for m in METHODS}
    own = {m: count for m, count in met.items() if m.startswith("lego")}
    listed = " and ".join(f"{title(m)} meets {count}" for m, count in own.items())
    rivals = [m for m, count in met.items() if m not in own and count >= max(own.values())]
    return (
        f"Of {len(REQUIREMENTS)} requirements, {listed}. "
        f"As many as the better of these, or more, meets {_titles(rivals) or 'no other method'}."
    )


def conclusion(checks: Sequence[Check]) -> str:
    """Who meets which requirement, and who meets most."""
    lines = [_about(requirement, checks) for requirement in REQUIREMENTS]
    met = pd.Series(
        {m: sum(c.verdict == YES for c in checks if c.method == m) for m in METHODS}
    ).sort_values(ascending=False, kind="stable")
    ranking = ", ".join(f"{title(method)} {count}" for method, count in met.items())
    lines.append(f"Requirements met of {len(REQUIREMENTS)}: {ranking}.")
    rivals = [m for m, n in met.items() if n == met.iloc[0] and not m.startswith("lego")]
    if rivals and met.filter(like="lego").max() == met.iloc[0]:
        lines.append(
            f"So these requirements do not single out the method: {_titles(rivals)} meets as many."
        )
    return "\n".join(f"* {line}" for line in lines)


def _about(requirement: str, checks: Sequence[Check]) -> str:
    by_verdict: dict[str, list[str]] = {YES: [], MASKS: [], NO: []}
    for check in checks:
        if check.requirement == requirement:
            by_verdict[check.verdict].append(check.method)
    words = "; ".join(f"{v}: {_titles(methods)}" for v, methods in by_verdict.items() if methods)
    return f"{REQUIREMENTS[requirement]}: {words}."


def _titles(methods: Sequence[str]) -> str:
    return ", ".join(title(method) for method in methods)


def record(checks: Sequence[Check]) -> list[dict[str, Any]]:
    """All verdicts with their evidence for the run's record."""
    return [dict(vars(check)) for check in checks]
