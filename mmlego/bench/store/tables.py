"""Tables of what was measured on several models."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd


def one_table(frames: Iterable[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    """Tables below each other; an empty one with these columns where none has a row."""
    kept = [frame for frame in frames if len(frame)]
    return pd.concat(kept, ignore_index=True) if kept else pd.DataFrame(columns=list(columns))
