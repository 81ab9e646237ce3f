"""What makes the weights of an epoch the best: the validation loss, or a score to be high."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from mmlego.errors import DataError, MetricError, SettingsError
from mmlego.learning.metrics.classification import accuracy, macro_f1
from mmlego.learning.metrics.survival import check_comparable, concordance_index
from mmlego.learning.objectives import (
    ClassificationObjective,
    CoxObjective,
    Objective,
    SurvivalObjective,
)
from mmlego.learning.predict import predict_logits

if TYPE_CHECKING:
    from mmlego.data.folds.samples import Samples

_CLASS_SCORES = {"macro_f1": macro_f1, "accuracy": accuracy}
_SURVIVAL = (SurvivalObjective, CoxObjective)


def check_criterion(criterion: str, objective: Objective, val: Samples | None) -> None:
    """Refuse, before any training, a criterion that cannot be computed.

    Args:
        criterion: ``loss``, ``macro_f1``, ``accuracy`` or ``c_index``.
        objective: What is minimized.
        val: Validation part, or None.

    Raises:
        SettingsError: If the criterion is for another task.
        DataError: If it is the C-index, and the validation part has no comparable pair.
    """
    if criterion in _CLASS_SCORES and not isinstance(objective, ClassificationObjective):
        raise _foreign(criterion, objective, "classes", "'loss' or 'c_index'")
    if criterion == "c_index" and not isinstance(objective, _SURVIVAL):
        others = " or ".join(f"'{name}'" for name in ("loss", *_CLASS_SCORES))
        raise _foreign(criterion, objective, "survival", others)
    if criterion == "c_index" and val is not None:
        try:
            check_comparable(val.target["event"].numpy(), val.target["time"].numpy())
        except MetricError as problem:
            raise DataError(
                f"fit: criterion 'c_index' on the validation part: {problem}, or criterion 'loss'"
            ) from None


def validation_score(
    criterion: str,
    model: nn.Module,
    val: Samples,
    objective: Objective,
    device: torch.device,
) -> float:
    """Return the score of a validation part, higher is better; not for the criterion ``loss``.

    Raises:
        ShapeError: If logits are not finite (n, k).
    """
    prediction = objective.predict(predict_logits(model, val, device=device))
    if criterion == "c_index":
        event, time = val.target["event"].numpy(), val.target["time"].numpy()
        return concordance_index(event, time, prediction["risk"])
    return _CLASS_SCORES[criterion](val.target["label"].numpy(), prediction["probability"])


def _foreign(criterion: str, objective: Objective, task: str, others: str) -> SettingsError:
    return SettingsError(
        f"fit: expected criterion {others} for {type(objective).__name__}, got '{criterion}', "
        f"which is for {task}"
    )
