"""Training, prediction, metrics and the statistics of comparing them."""

from __future__ import annotations

from mmlego.learning.device import resolve_device
from mmlego.learning.loop import FitResult, fit, mean_loss
from mmlego.learning.metrics.scores import (
    MetricWarning,
    concordance_index,
    concordance_index_ipcw,
    evaluate,
    survival_at,
)
from mmlego.learning.objectives import (
    ClassificationObjective,
    CoxObjective,
    Objective,
    SurvivalObjective,
    class_weights,
    cox_loss,
    objective_for,
    survival_nll,
)
from mmlego.learning.predict import predict_logits
from mmlego.learning.seeding import seed_everything
from mmlego.learning.settings import FitSettings
from mmlego.learning.statistics.resampling import (
    bootstrap_ci,
    bootstrap_metric,
    calibration_table,
    corrected_resampled_ttest,
    holm,
    kaplan_meier,
    logrank_test,
    risk_groups,
    roc_curve,
    survival_calibration,
)

__all__ = [
    "ClassificationObjective",
    "CoxObjective",
    "FitResult",
    "FitSettings",
    "MetricWarning",
    "Objective",
    "SurvivalObjective",
    "bootstrap_ci",
    "bootstrap_metric",
    "calibration_table",
    "class_weights",
    "concordance_index",
    "concordance_index_ipcw",
    "corrected_resampled_ttest",
    "cox_loss",
    "evaluate",
    "fit",
    "holm",
    "kaplan_meier",
    "logrank_test",
    "mean_loss",
    "objective_for",
    "predict_logits",
    "resolve_device",
    "risk_groups",
    "roc_curve",
    "seed_everything",
    "survival_at",
    "survival_calibration",
    "survival_nll",
]
