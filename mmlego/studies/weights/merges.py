"""Ways of merging the weights of networks of one shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from mmlego.errors import SettingsError
from mmlego.models.baselines.weight_merging import dare, soup, spherical_soup, task_arithmetic, ties

State = Mapping[str, Tensor]
DROP = 0.5  # of DARE, for networks of this size; large ones are given 0.9

MERGES: dict[str, Callable[[State, Sequence[State], int], dict[str, Tensor]]] = {
    "soup": lambda base, states, seed: soup(states),
    "slerp": lambda base, states, seed: spherical_soup(states),
    "task arithmetic": lambda base, states, seed: task_arithmetic(base, states),
    "ties": lambda base, states, seed: ties(base, states),
    "dare": lambda base, states, seed: dare(base, states, DROP, seed),
    "dare, ties": lambda base, states, seed: dare(base, states, DROP, seed, then="ties"),
}


def merge_states(method: str, base: State, states: Sequence[State], seed: int) -> dict[str, Tensor]:
    """Merge state dicts by one of ``MERGES`` with its defaults.

    Args:
        method: Key of ``MERGES``.
        base: Common start; soup and slerp do not look at it.
        states: State dicts to merge.
        seed: Of what DARE drops.

    Raises:
        SettingsError: If the method is unknown.
    """
    if method not in MERGES:
        raise SettingsError(f"weight merging: expected one of {list(MERGES)}, got '{method}'")
    return MERGES[method](base, states, seed)
