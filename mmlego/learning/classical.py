"""Classical references on one design matrix: penalized regressions, forests and boosted trees."""

from __future__ import annotations

import copy
import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmlego.errors import DataError, SettingsError, ShapeError

SURVIVAL_METHODS = ("coxnet", "rsf", "boosting")
CLASS_METHODS = ("logistic", "boosting", "knn", "svm", "random_forest", "mlp")

L1_RATIO = 0.5  # elastic net halfway between ridge and lasso
N_PENALTIES = 20
# Weakest penalty of the path relative to the one that leaves no coefficient. Where coefficients
# diverge before it is reached, a shorter path is fitted.
WEAKEST_PENALTIES = (0.05, 0.1, 0.2, 0.4)
RIDGE_STRENGTHS = tuple(10.0**power for power in (4, 3, 2, 1, 0, -1))
RIDGE_STEPS = 2000
# The log-rank test of a split passes over all distinct times, of which continuous follow-up has as
# many as samples: on this many steps a forest grows about ten times as fast.
FOREST_STEPS = 50
FOREST_FEATURES = 24  # most features that a split looks at, for the same reason
FOREST = {"n_estimators": 100, "min_samples_leaf": 10}
BOOSTING = {
    "n_estimators": 100,
    "learning_rate": 0.1,
    "subsample": 0.5,
    "max_depth": 3,
    "min_samples_leaf": 10,
    "max_features": "sqrt",
}
MLP = {"hidden_layer_sizes": (128,), "max_iter": 10, "early_stopping": False}


@dataclass(frozen=True)
class SurvivalReference:
    """A fitted survival estimator at one penalty.

    Attributes:
        estimator: A fitted estimator of scikit-survival.
        penalty: Strength of the penalty, None for one that has no path of penalties.
        n_parameters: Numbers that the fit decided: coefficients, or nodes of trees.
        n_nonzero: Coefficients other than 0, None for trees.
    """

    estimator: Any
    penalty: float | None
    n_parameters: int
    n_nonzero: int | None

    def risk(self, x: np.ndarray) -> np.ndarray:
        """Return the estimator's own score (n,), higher = earlier event.

        It is the log of the relative hazard, or for a forest the expected number of events.
        """
        return np.asarray(self.estimator.predict(x, **self._at()), dtype=float)

    def survival(self, x: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Return the probability of surviving past each of ``times`` (t,), as (n, t) in [0, 1].

        Before the first training time it is 1, after the last one it stays what it is there.
        """
        curves = self.estimator.predict_survival_function(x, return_array=True, **self._at())
        steps = np.concatenate([np.ones((len(x), 1)), curves], axis=1)
        known = self.estimator.unique_times_
        found = steps[:, np.searchsorted(known, np.asarray(times, dtype=float), side="right")]
        return np.clip(found, 0.0, 1.0)

    def _at(self) -> dict[str, float]:
        return {} if self.penalty is None else {"alpha": self.penalty}


@dataclass(frozen=True)
class ClassReference:
    """A fitted classifier at one penalty.

    Attributes:
        estimator: A fitted classifier of scikit-learn.
        n_classes: Number of classes, those that training lacks included.
        penalty: Strength of the penalty, None for one that is not searched.
        n_parameters: Numbers that the fit decided: coefficients, nodes of trees, weights, or the
            training samples that neighbors are found among.
        n_nonzero: Coefficients other than 0, None where there is no path of penalties.
    """

    estimator: Any
    n_classes: int
    penalty: float | None
    n_parameters: int
    n_nonzero: int | None

    def probability(self, x: np.ndarray) -> np.ndarray:
        """Return the probability of every class, (n, k), 0 for a class that training lacks.

        Of a support vector machine it is the softmax of its decision values, which ranks samples
        and picks its class but is not calibrated.
        """
        out = np.zeros((len(x), self.n_classes))
        out[:, self.estimator.classes_] = _probability(self.estimator, x)
        return out


def fit_survival(
    method: str, x: np.ndarray, event: np.ndarray, time: np.ndarray, *, seed: int = 1
) -> list[SurvivalReference]:
    """Fit a survival reference, once for every penalty that is worth trying.

    ``coxnet`` is a Cox regression with an elastic net over a path of 20 penalties, from the one
    that leaves no coefficient downwards. ``rsf`` is a random survival forest of 100 trees on times
    that are moved up to the next of 50 quantiles of the event times; a split looks at the square
    root of the number of features, 24 at most. ``boosting`` fits the Cox partial likelihood by 100
    trees of depth 3, each on half of the samples, whose splits look at the square root of the
    number of features.

    Args:
        method: ``coxnet``, ``rsf`` or ``boosting``.
        x: Standardized features, (n, p), finite.
        event: (n,) bool, True = observed.
        time: (n,) times, not negative.
        seed: Seed of forests and boosting.

    Returns:
        One reference per penalty, strongest first; a single one for forests and boosting.

    Raises:
        SettingsError: If the method is unknown.
        ShapeError: If shapes differ or a value is not finite.
        DataError: If no feature varies, or no event is observed.

    Source: Simon et al. 2011 (elastic net), Ishwaran et al. 2008 (forest), Ridgeway 1999
    (boosting), as implemented in scikit-survival. Sizes are our choice.
    """
    from sksurv.util import Surv

    _check_method(method, SURVIVAL_METHODS, "survival")
    event = np.asarray(event)
    _check_design(x, event)
    if event.dtype != bool or not event.any():
        raise DataError(
            f"{method}: expected observed events (bool, True), got {int(event.sum())} of type "
            f"{event.dtype}; use more samples or another repeat"
        )
    if method == "rsf":
        time = _stepped(np.asarray(time, dtype=float), event)
    target = Surv.from_arrays(event=event, time=time)
    if method == "coxnet":
        return _coxnet(x, target)
    estimator = _forest(x.shape[1], seed) if method == "rsf" else _boosted_survival(seed)
    estimator.fit(x, target)
    return [SurvivalReference(estimator, None, _n_nodes(estimator), None)]


def fit_classes(
    method: str, x: np.ndarray, label: np.ndarray, n_classes: int, *, seed: int = 1
) -> list[ClassReference]:
    """Fit a classifier, once for every penalty that is worth trying.

    ``logistic`` is a (multinomial) logistic regression with an L2 penalty of six strengths,
    ``boosting`` the log loss boosted by 100 trees of the sizes in ``fit_survival``. With the
    library's defaults come ``knn`` (five neighbors), ``svm`` (radial kernel), ``random_forest``,
    and ``mlp`` (one hidden layer of 128, ten epochs).

    Args:
        method: One of these.
        x: Standardized features, (n, p), finite.
        label: (n,) integers in [0, n_classes), two classes or more.
        n_classes: Number of classes k.
        seed: Seed of boosting, forest and network.

    Returns:
        One reference per penalty, strongest first; a single one for all but ``logistic``.

    Raises:
        SettingsError: If the method is unknown.
        ShapeError: If shapes differ or a value is not finite.
        DataError: If no feature varies, or only one class occurs.

    Source: scikit-learn; Friedman 2001 (boosting). Sizes and penalties of the first two are our
        choice; the others are the early-fusion references of Wenderoth 2024, whose network also
        held out a validation part without using it to stop.
    """
    _check_method(method, CLASS_METHODS, "classes")
    label = np.asarray(label)
    _check_design(x, label)
    if len(np.unique(label)) < 2:
        raise DataError(
            f"{method}: expected two classes or more in training, got {np.unique(label)}; use more "
            "samples or another repeat"
        )
    if method == "logistic":
        return _ridges(x, label, n_classes)
    estimator = _classifier(method, seed)
    with warnings.catch_warnings():
        # ten epochs are what the reference has, whether or not it has converged
        warnings.filterwarnings("ignore", message="Stochastic Optimizer: Maximum iterations")
        estimator.fit(x, label)
    return [ClassReference(estimator, n_classes, None, _size(estimator), None)]


def _classifier(method: str, seed: int) -> Any:
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.svm import SVC

    return {
        "boosting": lambda: GradientBoostingClassifier(random_state=seed, **BOOSTING),
        "knn": KNeighborsClassifier,
        "svm": lambda: SVC(decision_function_shape="ovr", break_ties=True),
        "random_forest": lambda: RandomForestClassifier(random_state=seed),
        "mlp": lambda: MLPClassifier(random_state=seed, **MLP),
    }[method]()


def _probability(estimator: Any, x: np.ndarray) -> np.ndarray:
    if hasattr(estimator, "predict_proba"):
        return estimator.predict_proba(x)
    from scipy.special import softmax

    values = estimator.decision_function(x)
    if values.ndim == 1:  # two classes: the distance to one border
        values = np.stack([-values, values], axis=1)
    return softmax(values, axis=1)


def _size(estimator: Any) -> int:
    """Numbers that a fit decided: nodes, weights, coefficients of support vectors, or samples."""
    if hasattr(estimator, "estimators_"):
        return _n_nodes(estimator)
    if hasattr(estimator, "coefs_"):
        return int(sum(w.size for w in (*estimator.coefs_, *estimator.intercepts_)))
    if hasattr(estimator, "dual_coef_"):
        return int(estimator.dual_coef_.size + estimator.intercept_.size)
    return int(estimator.n_samples_fit_ * estimator.n_features_in_)


def _coxnet(x: np.ndarray, target: np.ndarray) -> list[SurvivalReference]:
    """The path of penalties, cut shorter where the partial likelihood diverges."""
    from sklearn.exceptions import ConvergenceWarning
    from sksurv.linear_model import CoxnetSurvivalAnalysis

    for weakest in WEAKEST_PENALTIES:
        estimator = CoxnetSurvivalAnalysis(
            n_alphas=N_PENALTIES,
            alpha_min_ratio=weakest,
            l1_ratio=L1_RATIO,
            fit_baseline_model=True,
        )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", ConvergenceWarning)
                estimator.fit(x, target)
        except (ArithmeticError, ConvergenceWarning):
            continue
        return [
            SurvivalReference(estimator, float(penalty), x.shape[1], int((coefficients != 0).sum()))
            for penalty, coefficients in zip(estimator.alphas_, estimator.coef_.T, strict=True)
        ]
    raise DataError(
        "coxnet: expected coefficients that stay finite, got divergence at every penalty; "
        "standardize the features and drop those that are never observed together with others"
    )


def _stepped(time: np.ndarray, event: np.ndarray) -> np.ndarray:
    """Times moved up to the next of 50 quantiles of the event times, so none moves past an end."""
    steps = np.quantile(time[event], np.linspace(0, 1, FOREST_STEPS))
    steps = np.unique(np.append(steps, time.max()))
    return steps[np.searchsorted(steps, time, side="left")]


def _forest(width: int, seed: int) -> Any:
    from sksurv.ensemble import RandomSurvivalForest

    features = min(math.isqrt(width), FOREST_FEATURES)
    return RandomSurvivalForest(n_jobs=1, random_state=seed, max_features=features, **FOREST)


def _boosted_survival(seed: int) -> Any:
    from sksurv.ensemble import GradientBoostingSurvivalAnalysis

    return GradientBoostingSurvivalAnalysis(random_state=seed, **BOOSTING)


def _ridges(x: np.ndarray, label: np.ndarray, n_classes: int) -> list[ClassReference]:
    """One regression per penalty; each starts where the stronger one before it ended."""
    from sklearn.linear_model import LogisticRegression

    estimator = LogisticRegression(max_iter=RIDGE_STEPS, warm_start=True)
    found = []
    for strength in RIDGE_STRENGTHS:
        estimator.set_params(C=1.0 / strength).fit(x, label)
        size = estimator.coef_.size + estimator.intercept_.size
        nonzero = int((estimator.coef_ != 0).sum())
        # a copy, which the next, warmly started fit leaves alone
        found.append(ClassReference(copy.deepcopy(estimator), n_classes, strength, size, nonzero))
    return found


def _n_nodes(estimator: Any) -> int:
    """Nodes of all trees: each one is a threshold or a value that the fit decided."""
    return int(sum(tree.tree_.node_count for tree in np.ravel(estimator.estimators_)))


def _check_method(method: str, known: tuple[str, ...], task: str) -> None:
    if method not in known:
        raise SettingsError(f"reference for {task}: expected one of {list(known)}, got '{method}'")


def _check_design(x: np.ndarray, target: np.ndarray) -> None:
    if x.ndim != 2 or target.shape != x.shape[:1] or not np.isfinite(x).all():
        raise ShapeError(
            f"design matrix: expected finite (n, p) with targets (n,), got {x.shape} and "
            f"{target.shape}; fill in missing values first"
        )
    if x.size == 0 or not (np.ptp(x, axis=0) > 0).any():
        raise DataError(
            f"design matrix {x.shape}: expected a feature that varies over the training part, got "
            "none; name other modalities"
        )
