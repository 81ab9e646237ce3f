"""What tables of several questions show in the same way: means, published rows, comparisons."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mmlego.bench.outcome import Outcome
from mmlego.figures import style
from mmlego.learning.statistics import pairing

UNDEFINED = "undefined"


def mean_with_sd(mean: float, sd: float, absent: str = UNDEFINED) -> str:
    """A mean with its standard deviation, which a single repeat does not have, as text.

    Args:
        mean: The mean.
        sd: Standard deviation; NaN where there is none.
        absent: What stands where there is no mean.
    """
    if not np.isfinite(mean):
        return absent
    return f"{mean:.3f} ± {sd:.3f}" if np.isfinite(sd) else f"{mean:.3f}"


def mean_of(ranked: pd.DataFrame, label: str) -> str:
    """Mean and standard deviation of one label of ``pairing.means``, as text."""
    return mean_with_sd(ranked.loc[label, "mean"], ranked.loc[label, "std"])


def mean_and_sd(numbers: Iterable[float]) -> str:
    """Mean and standard deviation of the finite values, as text."""
    known = np.array([x for x in numbers if np.isfinite(x)])
    if not len(known):
        return UNDEFINED
    return mean_with_sd(known.mean(), known.std(ddof=1) if len(known) > 1 else np.nan)


def with_published(
    table: pd.DataFrame,
    outcomes: Iterable[Outcome],
    known: pd.DataFrame,
    name_of: Callable[[Outcome], str],
    place_of: Callable[[Outcome], Hashable],
) -> pd.DataFrame:
    """A value table with the published value of each label, and whether the two are comparable.

    Args:
        table: Values: label, repeat, value and so on.
        outcomes: Those that can have a published value.
        known: Published values of one metric, indexed by place: published, comparable.
        name_of: Label of an outcome.
        place_of: Place of an outcome in ``known``.
    """
    places = {name_of(outcome): place_of(outcome) for outcome in outcomes}
    rows = {name: known.loc[place] for name, place in places.items() if place in known.index}
    values = {name: row["published"] for name, row in rows.items()}
    same = {name: bool(row["comparable"]) for name, row in rows.items()}
    return table.assign(
        published=table["label"].map(lambda name: values.get(name, np.nan)),
        comparable=table["label"].map(lambda name: same.get(name, False)),
    )


def metric_table(
    outcomes: Iterable[Outcome],
    metrics: Sequence[str],
    name_of: Callable[[Outcome], str],
    known: pd.DataFrame | None = None,
    place_of: Callable[[Outcome], tuple[Hashable, ...]] = lambda outcome: (),
) -> pd.DataFrame:
    """Every model on every metric: mean ± standard deviation, published values below.

    Args:
        outcomes: All repeats of all models.
        metrics: The columns.
        name_of: What readers call the model of an outcome.
        known: Published values indexed by place and metric: published, published_sd, comparable,
            why. None for a table without them.
        place_of: Place of an outcome in ``known``.
    """
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(name_of(outcome), []).append(outcome)
    rows: list[dict[str, object]] = []
    for name, found in groups.items():
        texts = {m: mean_and_sd(o.metrics.get(m, np.nan) for o in found) for m in metrics}
        rows.append({"model": name, "repeats": len(found)} | _titled(texts))
        if known is None:
            continue
        places = {metric: (*place_of(found[0]), metric) for metric in metrics}
        printed = {m: known.loc[place] for m, place in places.items() if place in known.index}
        if printed:
            one = next(iter(printed.values()))
            kind = "comparable" if one["comparable"] else f"not comparable: {one['why']}"
            texts = {m: mean_with_sd(p["published"], p["published_sd"]) for m, p in printed.items()}
            rows.append({"model": f"{name}, published ({kind})", "repeats": ""} | _titled(texts))
    return pd.DataFrame(rows).fillna("")


def _titled(texts: Mapping[str, str]) -> dict[str, object]:
    return {style.title(metric): text for metric, text in texts.items()}


def comparison_row(pair: pairing.Paired, corrected: float) -> dict[str, Any]:
    """A comparison in words: difference, interval, repeats, p, and p after Holm.

    Args:
        pair: The comparison by itself.
        corrected: Its p-value among all that it stands with.
    """
    several = pair.n > 1
    return {
        "comparison": f"{pair.first} minus {pair.second}",
        "difference": f"{pair.mean:+.3f}",
        "95 % interval": f"{pair.lower:+.3f} to {pair.upper:+.3f}" if several else "",
        "repeats": pair.n,
        "p": f"{pair.p_value:.2g}" if several else "",
        "p (Holm)": f"{corrected:.2g}" if several else "",
    }
