"""Metrics of class probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from mmlego.errors import MetricError, ShapeError


def auc(label: ArrayLike, score: ArrayLike) -> float:
    """Return the area under the ROC curve of a binary task; ties count one half.

    Args:
        label: (n,) of 0 and 1.
        score: (n,) probability or score of class 1, never a hard label.

    Raises:
        ShapeError: If shapes differ, a label is neither 0 nor 1, or a score is not finite.
        MetricError: If only one class is there.
    """
    from sklearn.metrics import roc_auc_score

    label, score = check_binary(label, score)
    return float(roc_auc_score(label, score))


def class_aucs(label: ArrayLike, probability: ArrayLike) -> np.ndarray:
    """Return the one-versus-rest AUC of each class, (k,); NaN for a class absent from the labels.

    Args:
        label: (n,) integers in [0, k).
        probability: (n, k), rows summing to 1. Logits would rank samples differently.

    Raises:
        ShapeError: If shapes differ, rows do not sum to 1, or a label is outside.
        MetricError: If only one class is there.
    """
    label, probability = check_probability(label, probability)
    found = np.unique(label)
    if len(found) < 2:
        raise MetricError(f"auc: expected two classes or more among the labels, got only {found}")
    areas = np.full(probability.shape[1], np.nan)
    for k in found:
        areas[k] = auc((label == k).astype(int), probability[:, k])
    return areas


def macro_auc(label: ArrayLike, probability: ArrayLike) -> float:
    """Return the mean one-versus-rest AUC over the classes that occur among the labels.

    Raises:
        ShapeError: As ``class_aucs``.
        MetricError: As ``class_aucs``.
    """
    return float(np.nanmean(class_aucs(label, probability)))


def auc_hard(label: ArrayLike, probability: ArrayLike) -> float:
    """Return the AUC of predicted labels (argmax), which equals balanced accuracy.

    It throws away the ranking, and is here only because published binary results appear to have
    been scored in this way.

    Args:
        label: (n,) of 0 and 1.
        probability: (n, 2).

    Raises:
        ShapeError: If shapes differ, or there are not two classes.
        MetricError: If only one class is there.
    """
    label, probability = check_probability(label, probability)
    if probability.shape[1] != 2:
        raise ShapeError(f"auc_hard: expected (n, 2) probabilities, got {probability.shape}")
    return auc(label, probability.argmax(axis=1))


def balanced_accuracy(label: ArrayLike, probability: ArrayLike) -> float:
    """Return the mean recall over the classes that occur among the labels.

    Raises:
        ShapeError: If shapes differ, rows do not sum to 1, or a label is outside.
    """
    from sklearn.metrics import recall_score

    label, probability = check_probability(label, probability)
    classes = np.unique(label)
    predicted = probability.argmax(axis=1)
    return float(recall_score(label, predicted, labels=classes, average="macro", zero_division=0))


def macro_f1(label: ArrayLike, probability: ArrayLike) -> float:
    """Return the mean F1 over the classes that occur among labels or predictions.

    Raises:
        ShapeError: If shapes differ, rows do not sum to 1, or a label is outside.
    """
    from sklearn.metrics import f1_score

    label, probability = check_probability(label, probability)
    return float(f1_score(label, probability.argmax(axis=1), average="macro", zero_division=0))


def weighted_f1(label: ArrayLike, probability: ArrayLike) -> float:
    """Return the mean F1 over the classes, each weighing as many as the labels have of it.

    Raises:
        ShapeError: If shapes differ, rows do not sum to 1, or a label is outside.
    """
    from sklearn.metrics import f1_score

    label, probability = check_probability(label, probability)
    return float(f1_score(label, probability.argmax(axis=1), average="weighted", zero_division=0))


def weighted_precision(label: ArrayLike, probability: ArrayLike) -> float:
    """Return the mean precision over the classes, each weighing as many as the labels have of it.

    The recall weighted in the same way is the accuracy.

    Raises:
        ShapeError: If shapes differ, rows do not sum to 1, or a label is outside.
    """
    from sklearn.metrics import precision_score

    label, probability = check_probability(label, probability)
    predicted = probability.argmax(axis=1)
    return float(precision_score(label, predicted, average="weighted", zero_division=0))


def binary_f1(label: ArrayLike, probability: ArrayLike) -> float:
    """Return the F1 of class 1 of a binary task.

    Raises:
        ShapeError: If shapes differ, rows do not sum to 1, a label is outside, or there are not two
            classes.
    """
    from sklearn.metrics import f1_score

    label, probability = check_probability(label, probability)
    if probability.shape[1] != 2:
        raise ShapeError(f"binary_f1: expected (n, 2) probabilities, got {probability.shape}")
    return float(f1_score(label, probability.argmax(axis=1), zero_division=0))


def accuracy(label: ArrayLike, probability: ArrayLike) -> float:
    """Return the share of samples whose most probable class is the true one.

    Raises:
        ShapeError: If shapes differ, rows do not sum to 1, or a label is outside.
    """
    label, probability = check_probability(label, probability)
    return float((label == probability.argmax(axis=1)).mean())


def check_binary(label: ArrayLike, score: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and scores (n,) of a binary task.

    Raises:
        ShapeError: If shapes differ, a label is neither 0 nor 1, or a score is not finite.
        MetricError: If only one class is there.
    """
    label, score = np.asarray(label), np.asarray(score, dtype=float)
    if label.ndim != 1 or label.shape != score.shape or not np.isfinite(score).all():
        raise ShapeError(f"scores: expected {label.shape} finite values, got {score.shape}")
    found = np.unique(label)
    if not np.isin(found, (0, 1)).all():
        raise ShapeError(f"labels: expected 0 and 1, got {found[:5]}; use class_aucs for more")
    if len(found) < 2:
        raise MetricError(f"auc: expected both classes among the labels, got only {found}")
    return label.astype(int), score


def check_probability(label: ArrayLike, probability: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return labels (n,) and probabilities (n, k).

    Raises:
        ShapeError: If shapes differ, they are empty, rows do not sum to 1, or a label is outside.
    """
    label, probability = np.asarray(label), np.asarray(probability, dtype=float)
    if probability.ndim != 2 or label.shape != probability.shape[:1] or len(label) == 0:
        raise ShapeError(
            f"probabilities: expected labels (n,) and (n, k), got {label.shape} and "
            f"{probability.shape}"
        )
    if not np.issubdtype(label.dtype, np.integer):
        raise ShapeError(f"labels: expected integers, got {label.dtype}; encode the classes")
    if label.min() < 0 or label.max() >= probability.shape[1]:
        raise ShapeError(
            f"labels: expected values in [0, {probability.shape[1]}), got {label.min()} to "
            f"{label.max()}"
        )
    return label, check_distributions(probability)


def check_distributions(probability: ArrayLike) -> np.ndarray:
    """Return probabilities (n, k) as float64.

    Raises:
        ShapeError: If they are not (n, k), are empty, or a row is negative or does not sum to 1.
    """
    probability = np.asarray(probability, dtype=float)
    if probability.ndim != 2 or 0 in probability.shape:
        raise ShapeError(
            f"probabilities: expected (n, k) with one row or more, got {probability.shape}; "
            "pass one row per sample"
        )
    # A comparison with NaN is False, so this also refuses NaN.
    if not (probability >= 0).all() or not (np.abs(probability.sum(axis=1) - 1) < 1e-4).all():
        raise ShapeError("probabilities: expected rows summing to 1; apply softmax to logits")
    return probability
