"""Kaplan-Meier curves with the number at risk, and calibration of survival predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mmlego.errors import DataError, ShapeError
from mmlego.figures import checks, parts, style
from mmlego.learning.statistics.resampling import kaplan_meier


@style.styled()
def kaplan_meier_plot(
    event: object,
    time: object,
    group: Sequence[object] | None = None,
    *,
    unit: str,
    p_value: float | None = None,
    names: Mapping[object, str] | None = None,
    title: str | None = None,
) -> Figure:
    """Draw survival curves with 95% bands and, below them, how many are still at risk.

    Args:
        event: Booleans (n,), True = the event was observed.
        time: Times (n,), non-negative, in ``unit``.
        group: Group of each sample (n,); None draws one curve of everybody.
        unit: Unit of time, for the axis label.
        p_value: Log-rank p-value to print above the legend, in [0, 1]; needs groups.
        names: Human name by group; a group without one shows its own value.
        title: Heading, left out if None.

    Raises:
        ShapeError: If lengths differ, a time is negative or not finite, or event is not boolean.
        DataError: If the p-value is outside [0, 1] or comes without groups.
    """
    event, time = _observed(event, time)
    keys = np.array(["all"] * time.size) if group is None else np.asarray(group)
    checks.same_length("kaplan_meier_plot", event=event, time=time, group=keys)
    if p_value is not None and group is None:
        raise DataError("p_value: expected groups beside it, got none; a test compares groups")
    groups = list(dict.fromkeys(sorted(keys.tolist())))
    label = {key: (names or {}).get(key, str(key)) for key in groups}
    figure, axes = style.canvas(
        2, 1, height=3.7 + 0.24 * len(groups),
        gridspec_kw={"height_ratios": [3.2, 0.28 * len(groups) + 0.1]}, sharex=True,
    )  # fmt: skip
    top, bottom = axes[:, 0]
    for shade, key in zip(_shades(len(groups), group), groups, strict=True):
        _curve(top, event[keys == key], time[keys == key], label[key], shade)
    top.set(ylim=(0, 1.03), xlim=(0, None), ylabel="Survival probability")
    top.xaxis.set_major_locator(MaxNLocator(6))
    if group is not None:
        top.legend(loc="best", title=None if p_value is None else _p_words(p_value))
    top.set_title(title or "")
    _at_risk_table(bottom, time, keys, label, top.get_xticks(), top.get_xlim())
    bottom.set_xlabel(f"Time ({unit})")
    return figure


def _observed(event: object, time: object) -> tuple[np.ndarray, np.ndarray]:
    flags = checks.finite(event, name="event")
    if not np.isin(flags, (0, 1)).all():
        raise ShapeError("event: expected booleans (True = observed), got other values")
    moments = checks.finite(time, name="time")
    if (moments < 0).any():
        raise ShapeError(f"time: expected non-negative times, got a minimum of {moments.min():g}")
    checks.same_length("survival data", event=flags, time=moments)
    return flags.astype(bool), moments


def _shades(n: int, group: object) -> list[str]:
    if group is None:
        return [style.NEUTRAL]
    return [style.GROUPS[i % len(style.GROUPS)] for i in range(n)]


def _curve(ax: Axes, event: np.ndarray, time: np.ndarray, label: str, shade: str) -> None:
    times, survival, lower, upper = kaplan_meier(event, time)[:4]
    times, survival = np.r_[0.0, times], np.r_[1.0, survival]
    lower, upper = np.r_[1.0, lower], np.r_[1.0, upper]
    (line,) = ax.step(times, survival, where="post", color=shade, label=label)
    style.tag(line, "curve")
    band = ax.fill_between(times, lower, upper, step="post", color=shade, alpha=0.16, linewidth=0)
    style.tag(band, "band")
    censored = np.sort(time[~event])
    # The curve is right-continuous: a mark sits on the step that holds at its time.
    height = survival[np.searchsorted(times, censored, side="right") - 1]
    (marks,) = ax.plot(censored, height, "|", color=shade, markersize=5, markeredgewidth=0.8)
    style.tag(marks, "censored")


def _p_words(p_value: float) -> str:
    if not 0 <= p_value <= 1:
        raise DataError(f"p_value: expected a number in [0, 1], got {p_value}")
    return "log-rank p < 0.001" if p_value < 0.001 else f"log-rank p = {p_value:.3f}"


def _at_risk_table(
    ax: Axes, time: np.ndarray, keys: np.ndarray, label: dict, ticks: np.ndarray, limits: tuple
) -> None:
    ticks = ticks[(limits[0] <= ticks) & (ticks <= limits[1])]
    for row, (key, words) in enumerate(label.items()):
        for tick, count in zip(ticks, at_risk(time[keys == key], ticks), strict=True):
            style.tag(ax.text(tick, row, str(count), ha="center", va="center", fontsize=9.5),
                      f"at risk: {words}")  # fmt: skip
    ax.set_yticks(range(len(label)), [words if len(label) > 1 else "" for words in label.values()])
    ax.set_ylim(len(label) - 0.5, -0.5)
    ax.set_title("Number at risk", fontsize=10, fontweight="normal")
    parts.bare(ax)
    ax.tick_params(axis="y", pad=16)


def at_risk(time: object, ticks: object) -> list[int]:
    """Return how many samples are still under observation at each tick (time >= tick)."""
    moments = checks.finite(time, name="time")
    return [int((moments >= tick).sum()) for tick in np.asarray(ticks, dtype=float)]


@style.styled()
def survival_calibration(
    predicted: object,
    event: object,
    time: object,
    *,
    horizon: float,
    unit: str,
    n_groups: int = 4,
    title: str | None = None,
) -> Figure:
    """Compare predicted survival at a horizon with the Kaplan-Meier estimate, group by group.

    Args:
        predicted: Probability of surviving the horizon (n,), in [0, 1].
        event: Booleans (n,), True = observed.
        time: Times (n,) in ``unit``.
        horizon: Time at which survival is compared, positive.
        unit: Unit of time.
        n_groups: Equally sized groups of rising predictions, at least 2.
        title: Heading, left out if None.

    Raises:
        ShapeError: If lengths differ, values are not finite, or predictions leave [0, 1].
        DataError: If there are fewer samples than groups, or the horizon is not positive.
    """
    event, time = _observed(event, time)
    predicted = _probabilities(predicted)
    checks.same_length("survival_calibration", predicted=predicted, event=event, time=time)
    if not horizon > 0 or not 2 <= n_groups <= predicted.size:
        raise DataError(
            f"survival_calibration: expected horizon > 0 and 2 to {predicted.size} groups, "
            f"got horizon {horizon} and {n_groups} groups"
        )
    figure, ax = style.panel(width=4.6, height=4.3)
    ax.plot([0, 1], [0, 1], **parts.REFERENCE)
    for members in np.array_split(np.argsort(predicted, kind="stable"), n_groups):
        middle, low, high = _survival_at(event[members], time[members], horizon)
        style.tag(ax.plot([predicted[members].mean()] * 2, [low, high], color=style.GROUPS[0])[0],
                  "interval")  # fmt: skip
        style.tag(ax.plot([predicted[members].mean()], [middle], "o", color=style.GROUPS[0],
                          markersize=8, markeredgecolor="white")[0], "group")  # fmt: skip
    ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03),
           xlabel=f"Predicted survival at {horizon:g} {unit}",
           ylabel="Observed (Kaplan-Meier, 95% interval)")  # fmt: skip
    ax.set_title(title or "")
    return figure


def _probabilities(values: object) -> np.ndarray:
    array = checks.finite(values, name="predicted")
    if array.min() < 0 or array.max() > 1:
        raise ShapeError(f"predicted: expected values in [0, 1], got {array.min():g} to "
                         f"{array.max():g}; pass probabilities, not logits or risks")  # fmt: skip
    return array


def _survival_at(event: np.ndarray, time: np.ndarray, horizon: float) -> tuple[float, ...]:
    times, survival, lower, upper = kaplan_meier(event, time)[:4]
    place = np.searchsorted(times, horizon, side="right")
    return tuple(float(np.r_[1.0, curve][place]) for curve in (survival, lower, upper))
