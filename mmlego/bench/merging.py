"""Merge trained blocks without training, in every way that the comparison asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from torch import nn

from mmlego.bench.outcome import Outcome
from mmlego.bench.training import outcome_of
from mmlego.data.folds.fold import Fold
from mmlego.errors import ModalityError
from mmlego.learning.predict import predict_logits
from mmlego.lego.block import LegoBlock
from mmlego.lego.merge import LegoMerge
from mmlego.methods.names import ENSEMBLE, LEGO_BLOCK, LEGO_MERGE
from mmlego.models.baselines.ensemble import Ensemble
from mmlego.models.baselines.first_present import FirstPresent

DEFAULTS = {"latents": "harmonic", "phase": "arithmetic", "heads": "slerp", "head_mode": "present"}
OPERATORS: dict[str, dict[str, str]] = {
    "harmonic, arithmetic phase": {},
    "harmonic, circular phase": {"phase": "circular"},
    "sum": {"latents": "sum"},
    "mean": {"latents": "mean"},
    "product": {"latents": "product"},
    "geometric": {"latents": "geometric"},
    "complex harmonic": {"latents": "complex_harmonic"},
    "largest magnitude": {"latents": "max_magnitude"},
}
HEADS: dict[str, dict[str, str]] = {
    "slerp": {},
    "linear": {"heads": "linear"},
    "optimal transport": {"heads": "ot"},
}


def subsets(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Every pair of modalities, and all of them."""
    names = sorted(names)
    pairs = list(combinations(names, 2))
    return pairs if len(names) < 3 else [*pairs, tuple(names)]


def merge_outcome(
    fold: Fold,
    blocks: Mapping[str, LegoBlock],
    names: Sequence[str],
    *,
    variant: str,
    weights: Mapping[str, float] | None = None,
    device: str = "auto",
    headline: bool = False,
    **options: Any,
) -> Outcome:
    """Merge the blocks of some modalities and test on everyone who has at least one of them."""
    model = LegoMerge(pick(blocks, names), weights=weights, **(DEFAULTS | options))
    return score(fold, model, names, LEGO_MERGE, variant, device=device, headline=headline)


def ensemble_outcome(
    fold: Fold,
    models: Mapping[str, nn.Module],
    names: Sequence[str],
    *,
    average: str = "logits",
    variant: str | None = None,
    device: str = "auto",
    headline: bool = False,
) -> Outcome:
    """Average the outputs of unimodal models, which needs no training either."""
    model = Ensemble(pick(models, names), average=average)
    return score(fold, model, names, ENSEMBLE, variant or average, device=device, headline=headline)


def score(
    fold: Fold,
    model: nn.Module,
    names: Sequence[str],
    method: str,
    variant: str,
    *,
    device: str = "auto",
    headline: bool = False,
    **rest: Any,
) -> Outcome:
    """Test any model of several modalities on everyone who has at least one of them."""
    test = fold.test.select(sorted(names)).having(sorted(names), how="any")
    members = {member for name in names for member in fold.members(name)}
    return outcome_of(
        predict_logits(model, test, device=device),
        test,
        fold,
        method=method,
        variant=variant,
        modalities=tuple(members),
        headline=headline,
        **({"n_train": len(fold.train)} | rest),
    )


def pick(models: Mapping[str, nn.Module], names: Sequence[str]) -> dict[str, nn.Module]:
    """The models of some modalities, in sorted order.

    Raises:
        ModalityError: If one of them has no model.
    """
    absent = sorted(set(names) - set(models))
    if absent:
        raise ModalityError(
            f"blocks: expected one for each of {sorted(names)}, none for {absent}; train it first"
        )
    return {name: models[name] for name in sorted(names)}


def alpha_weights(first: str, second: str, alpha: float) -> dict[str, float]:
    """Weights of two modalities, ``alpha`` for the first."""
    return {first: alpha, second: 1.0 - alpha}


def first_present_outcome(
    fold: Fold,
    models: Mapping[str, nn.Module],
    outcomes: Mapping[str, Outcome],
    *,
    variant: str,
    method: str = LEGO_BLOCK,
    device: str = "auto",
) -> Outcome:
    """Everyone who has a modality, predicted by the best model that they have the data for.

    Args:
        fold: Data.
        models: Models by modality.
        outcomes: Their outcomes, whose validation loss says which is best.
        variant: Name of the row.
        method: What the models are.
        device: Where to predict.
    """
    ranked = sorted(outcomes, key=lambda name: outcomes[name].facts["best_val_loss"])
    model = FirstPresent({name: models[name] for name in ranked})
    facts = {"first": best_by_validation(outcomes)}
    return score(fold, model, ranked, method, variant, device=device, facts=facts)


def best_by_validation(outcomes: Mapping[str, Outcome]) -> str:
    """The modality whose block has the lowest validation loss.

    The choice a user can make without test data.
    """
    return min(outcomes, key=lambda name: outcomes[name].facts["best_val_loss"])
