"""Figures of the interference experiments: signals, spectra, and what a merge keeps of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mmlego.figures import checks, parts, style


@style.styled()
def signals_plot(
    signals: Mapping[str, object],
    merged: Mapping[str, object] | None = None,
    *,
    length: int | None = None,
    title: str | None = None,
) -> Figure:
    """Draw input signals in one panel and, below it, one panel per merged outcome.

    Args:
        signals: Input signals (n,) by name.
        merged: Merged signals (n,) by rule; None draws the inputs only.
        length: Show the first samples only; None shows all.
        title: Heading, left out if None.

    Raises:
        ShapeError: If lengths differ or a value is not finite.
    """
    outcomes = dict(merged or {})
    everything = {name: checks.finite(values, name=f"signal '{name}'")
                  for name, values in {**signals, **outcomes}.items()}  # fmt: skip
    checks.same_length("signals_plot", **everything)
    figure, axes = style.canvas(1 + len(outcomes), 1, height=1.5 + 1.15 * (1 + len(outcomes)),
                                sharex=True)  # fmt: skip
    for index, name in enumerate(signals):
        axes[0, 0].plot(everything[name][:length], color=style.GROUPS[index % 6], linewidth=1.2,
                        label=name, gid="input", alpha=0.85)  # fmt: skip
    axes[0, 0].legend(loc="upper right", ncols=len(signals), borderaxespad=0.1)
    axes[0, 0].set_ylabel("Inputs")
    for ax, name in zip(axes[1:, 0], outcomes, strict=True):
        ax.plot(everything[name][:length], color=style.NEUTRAL, linewidth=1.2, gid="merged")
        ax.set_ylabel(name)
    axes[-1, 0].set_xlabel("Sample")
    figure.align_ylabels(axes[:, 0])
    axes[0, 0].set_title(title or "")
    return figure


@style.styled()
def spectra_plot(
    spectra: Mapping[str, object],
    *,
    length: int | None = None,
    log: bool = False,
    title: str | None = None,
) -> Figure:
    """Draw magnitudes of spectra over frequency bins, one line per signal.

    Args:
        spectra: Complex coefficients or magnitudes (n,) by name.
        length: Show the first bins only; None shows all.
        log: Logarithmic magnitudes; bins of zero magnitude are then not drawn.
        title: Heading, left out if None.

    Raises:
        ShapeError: If lengths differ or a value is not finite.
    """
    sizes = {name: checks.finite(np.abs(np.asarray(values)), name=f"spectrum '{name}'")
             for name, values in spectra.items()}  # fmt: skip
    checks.same_length("spectra_plot", **sizes)
    figure, ax = style.panel(height=3.4)
    for index, (name, size) in enumerate(sizes.items()):
        ax.plot(size[:length], color=style.GROUPS[index % 6], label=name, linewidth=1.4,
                linestyle=("-", "--", "-.", ":")[index % 4], gid="spectrum")  # fmt: skip
    ax.set(xlabel="Frequency (cycles per record)", ylabel="Magnitude",
           yscale="log" if log else "linear")  # fmt: skip
    ax.legend(loc="best")
    ax.set_title(title or "")
    return figure


@style.styled()
def energy_correlation_bars(table: pd.DataFrame, *, title: str | None = None) -> Figure:
    """Draw, for every merge rule, the energy it keeps and how much of the signal is in it.

    Energy alone flatters a rule: a merged signal can keep it all and resemble neither input.

    Args:
        table: Columns rule, energy_ratio (merged energy over mean input energy, >= 0) and
            correlation (Pearson, with the input it resembles most, in [-1, 1]).
        title: Heading, left out if None.

    Raises:
        DataError: If a column is missing or a rule occurs twice.
        ShapeError: If a value is not finite.
    """
    rows = checks.table(table, ("rule", "energy_ratio", "correlation"),
                        name="energy_correlation_bars")  # fmt: skip
    checks.finite_columns(rows, ("energy_ratio", "correlation"), name="energy_correlation_bars")
    checks.one_per(rows, ("rule",), name="energy_correlation_bars")
    figure, axes = style.canvas(1, 2, height=1.3 + 0.42 * len(rows), sharey=True)
    panels = (("energy_ratio", "Energy kept (ratio)"), ("correlation", "Correlation with input"))
    for index, (ax, (column, label)) in enumerate(zip(axes[0], panels, strict=True)):
        words = [f"{value:.2f}" for value in rows[column]]
        parts.bars(ax, rows["rule"], rows[column], words, style.GROUPS[index], column, room=0.4)
        ax.set_xlabel(label)
        ax.axvline(0, color="#555555", linewidth=0.8)
    parts.heading(figure, title)
    return figure
