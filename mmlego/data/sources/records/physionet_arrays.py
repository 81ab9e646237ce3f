"""From irregular measurements to fixed arrays: 5 static values and 24 x 12 per stay."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

N_HOURS = 24
STATIC = ("Age", "Gender", "Height", "Weight", "ICUType")


@dataclass(frozen=True)
class Channel:
    """One channel of the series.

    Attributes:
        parameters: Names in the challenge's files, the preferred one first.
        low: Smallest plausible value; below it a value counts as missing.
        high: Largest plausible value.
        total: True sums the values of an hour, False averages them.
    """

    parameters: tuple[str, ...]
    low: float
    high: float
    total: bool = False


# the inputs of SAPS-II, as in the 12-channel MIMIC-III series of MultiBench;
# the bounds only remove recording errors
CHANNELS = {
    "HR": Channel(("HR",), 10, 300),
    "SysABP": Channel(("SysABP", "NISysABP"), 20, 300),
    "Temp": Channel(("Temp",), 25, 45),
    "PaO2/FiO2": Channel(("PaO2",), 10, 700),
    "Urine": Channel(("Urine",), 0, 5000, total=True),
    "BUN": Channel(("BUN",), 0, 300),
    "WBC": Channel(("WBC",), 0, 1000),
    "K": Channel(("K",), 1, 15),
    "Na": Channel(("Na",), 80, 200),
    "HCO3": Channel(("HCO3",), 2, 60),
    "Bilirubin": Channel(("Bilirubin",), 0, 100),
    "GCS": Channel(("GCS",), 3, 15),
}
_FIO2 = Channel(("FiO2",), 0.21, 1.0)
_STATIC_BOUNDS = {
    "Age": (0, 120),
    "Gender": (0, 1),
    "Height": (100, 250),
    "Weight": (20, 400),
    "ICUType": (1, 4),
}


def stay_arrays(long: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return arrays of all stays in a long table, ordered by record.

    The table has the columns RecordID, minute, Parameter, Value.

    ``record`` (n,) int64; ``static`` (n, 5) and ``series`` (n, 24, 12) float32 with NaN where
    nothing is known. An hourly value is the mean of the hour (urine: the sum); an hour without a
    value repeats the last one of the stay. PaO2/FiO2 is the hour's PaO2 over the last known FiO2.
    What remains unknown is imputed per fold with the training mean.
    """
    records = np.unique(long["RecordID"].to_numpy())
    long = long.assign(row=np.searchsorted(records, long["RecordID"].to_numpy()))
    first_day = long[long["minute"] < 60 * N_HOURS]
    by_parameter = dict(tuple(first_day.groupby("Parameter", observed=True)))
    channels = [_channel(by_parameter, name, len(records)) for name in CHANNELS]
    return {
        "record": records.astype(np.int64),
        "static": _static(long, len(records)),
        "series": np.stack(channels, axis=-1).astype(np.float32),
    }


def _static(long: pd.DataFrame, n: int) -> np.ndarray:
    """Return the descriptors recorded at admission; -1 and implausible values become NaN."""
    admission = long[(long["minute"] == 0) & long["Parameter"].isin(STATIC)]
    admission = admission.drop_duplicates(["row", "Parameter"])
    values = np.full((n, len(STATIC)), np.nan, dtype=np.float32)
    for column, name in enumerate(STATIC):
        low, high = _STATIC_BOUNDS[name]
        found = admission[(admission["Parameter"] == name) & admission["Value"].between(low, high)]
        values[found["row"], column] = found["Value"]
    return values


def _channel(by_parameter: dict[str, pd.DataFrame], name: str, n: int) -> np.ndarray:
    """Return one channel, (n, 24), carried forward."""
    channel = CHANNELS[name]
    hourly = _hourly(by_parameter, channel, channel.parameters[0], n)
    for fallback in channel.parameters[1:]:
        hourly = np.where(np.isnan(hourly), _hourly(by_parameter, channel, fallback, n), hourly)
    if name == "PaO2/FiO2":
        hourly = hourly / _carry_forward(_hourly(by_parameter, _FIO2, "FiO2", n))
    return _carry_forward(hourly)


def _hourly(
    by_parameter: dict[str, pd.DataFrame], channel: Channel, parameter: str, n: int
) -> np.ndarray:
    """Return the mean (or sum) of every hour, (n, 24), NaN where nothing plausible was measured."""
    if parameter not in by_parameter:
        return np.full((n, N_HOURS), np.nan)
    table = by_parameter[parameter]
    table = table[table["Value"].between(channel.low, channel.high)]
    cell = table["row"].to_numpy() * N_HOURS + table["minute"].to_numpy() // 60
    total = np.bincount(cell, weights=table["Value"].to_numpy(np.float64), minlength=n * N_HOURS)
    count = np.bincount(cell, minlength=n * N_HOURS)
    value = total if channel.total else total / np.maximum(count, 1)
    return np.where(count > 0, value, np.nan).reshape(n, N_HOURS)


def _carry_forward(hourly: np.ndarray) -> np.ndarray:
    """Replace NaN by the last earlier value of the stay, (n, 24); NaN before the first stays."""
    known = ~np.isnan(hourly)
    last = np.maximum.accumulate(np.where(known, np.arange(hourly.shape[1]), -1), axis=1)
    filled = np.take_along_axis(hourly, np.maximum(last, 0), axis=1)
    return np.where(last >= 0, filled, np.nan)
