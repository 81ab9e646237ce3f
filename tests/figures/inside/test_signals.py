from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mmlego.errors import DataError, ShapeError
from mmlego.figures import energy_correlation_bars, signals_plot, spectra_plot

X = np.sin(np.linspace(0, 6, 64))


def test_inputs_and_outcomes(found):
    figure = signals_plot({"x": X, "y": -X}, {"mean": X * 0}, length=10)
    assert [line.get_ydata().size for line in found(figure, "input")] == [10, 10]
    np.testing.assert_allclose(found(figure, "merged")[0].get_ydata(), 0)
    assert figure.axes[1].get_ylabel() == "mean"
    assert figure.axes[-1].get_xlabel() == "Sample"


def test_spectra_show_magnitudes(found):
    lines = found(spectra_plot({"x": np.fft.fft(X)}), "spectrum")
    np.testing.assert_allclose(lines[0].get_ydata(), np.abs(np.fft.fft(X)))


def test_energy_and_correlation_stand_side_by_side(found):
    table = pd.DataFrame(
        {"rule": ["mean", "harmonic"], "energy_ratio": [0.0, 1.0], "correlation": [0.1, -0.2]}
    )
    figure = energy_correlation_bars(table)
    assert [bar.get_width() for bar in found(figure, "energy_ratio")] == [0.0, 1.0]
    assert [bar.get_width() for bar in found(figure, "correlation")] == [0.1, -0.2]
    with pytest.raises(DataError, match="correlation"):
        energy_correlation_bars(table.drop(columns="correlation"))


def test_bad_signals():
    with pytest.raises(ShapeError, match="one length"):
        signals_plot({"x": X, "y": X[:-1]})
    with pytest.raises(ShapeError, match="signal 'x'"):
        signals_plot({"x": X * np.nan})
    with pytest.raises(ShapeError, match="spectrum 'x'"):
        spectra_plot({"x": []})
