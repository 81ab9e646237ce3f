"""How far predicted confidence is from the true one, and whether it says which modality to trust.

The true confidence of a modality in a sample is the probability that its own classifier gives to
the true class. The predicted one is not bounded, and may be negative.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from mmlego.errors import DataError, MetricError, ModalityError, ShapeError

if TYPE_CHECKING:
    import pandas as pd

RELATIVE = tuple(step / 10 for step in range(1, 11))  # r of the shares above_0.1 ... above_1.0
EVERYTHING = "all modalities"
_CONSTANT = 1e-10  # relative spread up to which values are one value, but for rounding


def confidence_error(predicted: ArrayLike, true: ArrayLike) -> dict[str, float]:
    """Return how far predicted confidence is from the true one, for one modality and one model.

    Args:
        predicted: (n,), any finite number.
        true: (n,), in (0, 1].

    Returns:
        n; mse, rmse, mae; sd_abs (population), min_abs and max_abs of the absolute error; r2; mape,
        the mean of ``|predicted - true| / true``, as a fraction; above_0.1 to above_1.0, the share
        of samples whose absolute error is above that multiple of the truth; mean_predicted,
        mean_true, min_predicted, max_predicted; pearson and spearman. r2 is NaN where the truth is
        constant, the correlations where either is.

    Raises:
        ShapeError: If lengths differ, there is no sample, or a value is not finite.
        MetricError: If a true confidence is outside (0, 1].
    """
    predicted, true = _arrays(predicted, true, "confidence_error")
    error = predicted - true
    size = np.abs(error)
    above = {f"above_{r}": float((size > r * true).mean()) for r in RELATIVE}
    moved = not _constant(true)
    return {
        "n": len(true),
        "mse": float((error**2).mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "mae": float(size.mean()),
        "sd_abs": float(size.std()),
        "min_abs": float(size.min()),
        "max_abs": float(size.max()),
        "r2": float(1 - (error**2).mean() / true.var()) if moved else np.nan,
        "mape": float((size / true).mean()),
        **above,
        "mean_predicted": float(predicted.mean()),
        "mean_true": float(true.mean()),
        "min_predicted": float(predicted.min()),
        "max_predicted": float(predicted.max()),
        **_correlations(predicted, true),
    }


def summarize_errors(frame: pd.DataFrame) -> pd.DataFrame:
    """Return mean, spread and range of every statistic, over folds, and over folds and modalities.

    Args:
        frame: Columns repeat, modality, and statistics from ``confidence_error``; one row per
            repeat and modality, from the model of that repeat.

    Returns:
        Columns modality ("all modalities" first, then each), statistic, mean, sd (population), min,
        max, n. Undefined values are left out, and n counts the rest; without any, all are NaN.

    Raises:
        DataError: If a column is missing, there is no row or no statistic, or a repeat and modality
            occur twice.
    """
    import pandas as pd

    keys = ["repeat", "modality"]
    names = [] if frame.empty else [str(name) for name in frame.columns if name not in keys]
    if not names or not set(keys) <= set(frame.columns):
        raise DataError(
            f"summarize_errors: expected rows with columns repeat, modality and statistics, got "
            f"{len(frame)} rows with {list(map(str, frame.columns))}; make one row per model from "
            "confidence_error"
        )
    twice = frame[frame.duplicated(keys)]
    if not twice.empty:
        raise DataError(
            f"summarize_errors: expected one row per repeat and modality, got several for "
            f"{twice.iloc[0][keys].to_dict()}; filter to one variant first"
        )
    parts = [(EVERYTHING, frame), *frame.groupby("modality", sort=False)]
    rows = [
        {"modality": modality, "statistic": name} | _spread(part[name].to_numpy(float))
        for modality, part in parts
        for name in names
    ]
    return pd.DataFrame(rows)


def which_to_trust(
    predicted: Mapping[str, ArrayLike], true: Mapping[str, ArrayLike]
) -> dict[str, float | str]:
    """Return whether predicted confidence says which modality of a sample to trust.

    A choice is right if no modality has a higher true confidence in that sample, so ties in truth
    count as right. Among modalities that tie for the highest prediction, a drawn one is expected.

    Args:
        predicted: (n,) by modality, two or more.
        true: (n,) in (0, 1] for the same modalities; entry i of all is the same sample.

    Returns:
        n; right, the share of samples in which the modality with the highest predicted confidence
        is a right choice; constant, the same for always choosing the modality with the highest mean
        prediction, and constant_modality, its name; chance, the same for a drawn one, 1 / M but for
        ties in truth; n_differ, the samples whose true confidences differ, and spearman and kendall
        (tau-b), the mean over these of the correlation over modalities. A sample with equal
        predictions orders nothing and counts 0. With two modalities both are the share of samples
        ordered right less that ordered wrong. NaN if n_differ is 0.

    Raises:
        ModalityError: If names differ or there are fewer than two.
        ShapeError: If lengths differ, there is no sample, or a value is not finite.
        MetricError: If a true confidence is outside (0, 1].
    """
    names = list(predicted)
    if len(names) < 2 or set(names) != set(true):
        raise ModalityError(
            f"which_to_trust: expected two modalities or more, the same on both sides, got {names} "
            f"and {list(true)}; there is nothing to choose from one"
        )
    pairs = [_arrays(predicted[name], true[name], f"which_to_trust, '{name}'") for name in names]
    lengths = dict(zip(names, (len(one) for one, _ in pairs), strict=True))
    if len(set(lengths.values())) > 1:
        raise ShapeError(
            f"which_to_trust: expected one entry per sample for every modality, got {lengths}; "
            "keep the samples that have all of them"
        )
    told, truth = (np.column_stack(side) for side in zip(*pairs, strict=True))
    best = truth == truth.max(axis=1, keepdims=True)
    means = told.mean(axis=0)
    differ = ~best.all(axis=1)
    return {
        "n": len(truth),
        "right": _share_right(told == told.max(axis=1, keepdims=True), best),
        "constant": _share_right(np.broadcast_to(means == means.max(), best.shape), best),
        "constant_modality": names[int(means.argmax())],
        "chance": float(best.mean()),
        "n_differ": int(differ.sum()),
        **_agreement(told[differ], truth[differ]),
    }


def _arrays(predicted: ArrayLike, true: ArrayLike, name: str) -> tuple[np.ndarray, np.ndarray]:
    predicted, true = np.asarray(predicted, dtype=float), np.asarray(true, dtype=float)
    if predicted.ndim != 1 or predicted.shape != true.shape or not len(true):
        raise ShapeError(
            f"{name}: expected predicted and true confidence of one shape (n,), got "
            f"{predicted.shape} and {true.shape}; pass one entry per sample"
        )
    bad = int((~np.isfinite(predicted) | ~np.isfinite(true)).sum())
    if bad:
        raise ShapeError(
            f"{name}: expected finite confidences, got {bad} samples of {len(true)} with NaN or "
            "infinity; leave out samples without a true confidence"
        )
    if not ((true > 0) & (true <= 1)).all():
        raise MetricError(
            f"{name}: expected true confidence in (0, 1], got {true.min():g} to {true.max():g}; "
            "pass probabilities, not logits, computed in double precision, and leave out samples "
            "with 0, which have no relative error"
        )
    return predicted, true


def _constant(values: np.ndarray) -> bool:
    return bool(np.ptp(values) <= _CONSTANT * np.abs(values).max())


def _correlations(predicted: np.ndarray, true: np.ndarray) -> dict[str, float]:
    from scipy import stats

    if _constant(predicted) or _constant(true):
        return {"pearson": np.nan, "spearman": np.nan}
    return {
        "pearson": float(stats.pearsonr(predicted, true).statistic),
        "spearman": float(stats.spearmanr(predicted, true).statistic),
    }


def _spread(values: np.ndarray) -> dict[str, float]:
    values = values[np.isfinite(values)]
    if not len(values):
        return dict.fromkeys(("mean", "sd", "min", "max"), np.nan) | {"n": 0}
    ends = {"min": float(values.min()), "max": float(values.max()), "n": len(values)}
    return {"mean": float(values.mean()), "sd": float(values.std())} | ends


def _share_right(chosen: np.ndarray, best: np.ndarray) -> float:
    return float(((chosen & best).sum(axis=1) / chosen.sum(axis=1)).mean())


def _agreement(told: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Mean rank correlations over the modalities of each sample, (n, M) each."""
    from scipy import stats

    if not len(told):
        return {"spearman": np.nan, "kendall": np.nan}
    first, second = np.triu_indices(told.shape[1], k=1)
    ranks = [stats.rankdata(side, axis=1) for side in (told, truth)]
    order = [np.sign(side[:, first] - side[:, second]) for side in (told, truth)]
    centered = [side - side.mean(axis=1, keepdims=True) for side in ranks]
    return {"spearman": _mean_cosine(*centered), "kendall": _mean_cosine(*order)}


def _mean_cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Mean cosine of rows, 0 for a row of zeros.

    Of centered ranks it is Spearman's rho, of the signs of pairs Kendall's tau-b.
    """
    norm = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return float(((a * b).sum(axis=1) / np.where(norm > 0, norm, 1.0)).mean())
