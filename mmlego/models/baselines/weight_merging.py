"""Merging whole models of one topology, weight by weight, without training.

All of these take and give state dicts, and merge their floating-point tensors; any other buffer,
such as a count of batches, is copied from the base (or the first state where there is none).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from mmlego.errors import SettingsError, ShapeError
from mmlego.lego import checks
from mmlego.lego.heads import slerp, spherical_mean
from mmlego.lego.profiles import choose, number

State = Mapping[str, Tensor]
AFTER_DARE = ("task_arithmetic", "ties")
ARITHMETIC_SCALE, TIES_SCALE, KEEP = 0.3, 1.0, 0.2
MOST = 100.0  # a longer step than this can only be a mistake
NO_STATE = "weight merging: expected one state dict or more, got none; pass trained weights"


def soup(states: Sequence[State], weights: Sequence[float] | None = None) -> dict[str, Tensor]:
    """Return the weighted mean of models.

    Args:
        states: State dicts with the same names and shapes, one or more.
        weights: One number >= 0 per state, scaled to sum 1; None means equal.

    Returns:
        A new state dict with the types of the first.

    Raises:
        ShapeError: If names or shapes differ, or a value is not finite.
        SettingsError: If no state is given, or a weight is out of range.

    Source: Wortsman et al. 2022, uniform soup.
    """
    first, names = _check(states)
    shares = checks.weights(weights, len(states))
    return _restore(shares @ _rows(states, names), names, first)


def task_arithmetic(
    base: State, states: Sequence[State], scale: float = ARITHMETIC_SCALE
) -> dict[str, Tensor]:
    """Return base + scale * sum of task vectors, where a task vector is a state minus the base.

    Args:
        base: Weights that all models were trained from.
        states: State dicts with the names and shapes of the base, one or more.
        scale: Length of the step, 0 to 100.

    Raises:
        ShapeError: If names or shapes differ, or a value is not finite.
        SettingsError: If no state is given, or the scale is out of range.

    Source: Ilharco et al. 2023; scale 0.3 as recommended there.
    """
    return _merge(base, states, lambda tasks: _sum(tasks, scale))


def ties(
    base: State, states: Sequence[State], keep: float = KEEP, scale: float = TIES_SCALE
) -> dict[str, Tensor]:
    """Trim task vectors, elect a sign per entry, and average the entries that agree with it.

    Of each task vector the share ``keep`` of entries with the largest magnitude stays, over all
    tensors jointly; entries as large as the smallest of these stay too. The elected sign is that
    of the sum of what stayed; entries that sum to 0 keep the value of the base.

    Args:
        base: Weights that all models were trained from.
        states: State dicts with the names and shapes of the base, one or more.
        keep: Share in (0, 1].
        scale: Length of the step, 0 to 100.

    Raises:
        ShapeError: If names or shapes differ, or a value is not finite.
        SettingsError: If no state is given, or an option is out of range.

    Source: Yadav et al. 2023.
    """
    return _merge(base, states, lambda tasks: _elect(tasks, keep, scale))


def dare(
    base: State,
    states: Sequence[State],
    drop: float = 0.9,
    seed: int = 1,
    scale: float | None = None,
    then: str = "task_arithmetic",
) -> dict[str, Tensor]:
    """Drop entries of task vectors at random, rescale the others to keep the mean, and merge.

    Args:
        base: Weights that all models were trained from.
        states: State dicts with the names and shapes of the base, one or more.
        drop: Probability in [0, 1) of dropping an entry; survivors are divided by 1 - drop.
        seed: Decides what is dropped; each state draws its own entries.
        scale: Of the method that follows, None for its default.
        then: ``task_arithmetic`` or ``ties``.

    Raises:
        ShapeError: If names or shapes differ, or a value is not finite.
        SettingsError: If no state is given, or an option is unknown or out of range.

    Source: Yu et al. 2024.
    """
    number("drop", drop, low=0.0, high=0.999999)
    choose("then", then, AFTER_DARE)

    def step(tasks: Tensor) -> Tensor:
        kept = _survivors(tuple(tasks.shape), drop, seed).to(tasks.device)
        thinned = tasks.where(kept, 0.0) / (1.0 - drop)
        if then == "ties":
            return _elect(thinned, KEEP, TIES_SCALE if scale is None else scale)
        return _sum(thinned, ARITHMETIC_SCALE if scale is None else scale)

    return _merge(base, states, step)


def slerp_states(first: State, second: State, weight: float = 0.5) -> dict[str, Tensor]:
    """Interpolate two models along great circles, tensor by tensor.

    Args:
        first: A state dict.
        second: One with the same names and shapes.
        weight: Share of the second in [0, 1].

    Raises:
        ShapeError: If names or shapes differ, or a value is not finite.
        SettingsError: If the weight is out of range.

    Source: Shoemake 1985; ``mmlego.lego.slerp`` has the conventions for degenerate tensors.
    """
    _, names = _check([first, second])
    mixed = {name: slerp(first[name], second[name], weight) for name in names}
    return _with_rest(mixed, first)


def spherical_soup(
    states: Sequence[State], weights: Sequence[float] | None = None
) -> dict[str, Tensor]:
    """Return the mean of any number of models along great circles, tensor by tensor.

    Equal to ``slerp_states`` for two; arguments and errors as in ``soup``.

    Source: extension of SLERP to more than two models, see ``mmlego.lego.heads.spherical_mean``.
    """
    first, names = _check(states)
    shares = checks.weights(weights, len(states)).tolist()
    mixed = {name: spherical_mean([state[name] for state in states], shares) for name in names}
    return _with_rest(mixed, first)


def _merge(
    base: State, states: Sequence[State], step: Callable[[Tensor], Tensor]
) -> dict[str, Tensor]:
    """The base, moved by what ``step`` makes of all task vectors (states, entries)."""
    if not states:
        raise SettingsError(NO_STATE)
    _, names = _check([base, *states])
    origin = _rows([base], names)[0]
    return _restore(origin + step(_rows(states, names) - origin), names, base)


def _sum(tasks: Tensor, scale: float) -> Tensor:
    number("scale", scale, low=0.0, high=MOST)
    return scale * tasks.sum(dim=0)


def _elect(tasks: Tensor, keep: float, scale: float) -> Tensor:
    """Mean of those trimmed entries that have the sign of their sum."""
    number("scale", scale, low=0.0, high=MOST)
    number("keep", keep, low=0.0, high=1.0, open_low=True)
    trimmed = torch.stack([_trim(task, keep) for task in tasks])
    agrees = trimmed.sign() == trimmed.sum(dim=0).sign()
    count = agrees.sum(dim=0).clamp(min=1)
    return scale * trimmed.where(agrees, 0.0).sum(dim=0) / count


def _trim(task: Tensor, keep: float) -> Tensor:
    """A task vector with its largest entries, zero elsewhere."""
    dropped = len(task) - max(1, round(keep * len(task)))
    if dropped == 0:
        return task
    size = task.abs()
    return task.where(size >= size.kthvalue(dropped + 1).values, 0.0)


def _survivors(shape: tuple[int, ...], drop: float, seed: int) -> Tensor:
    """Which entries stay, (states, entries) bool."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64) >= drop


def _check(states: Sequence[State]) -> tuple[State, list[str]]:
    """The first state, and the names of what is merged: floating-point tensors of equal shapes."""
    if not states:
        raise SettingsError(NO_STATE)
    first = states[0]
    shapes = {name: tuple(value.shape) for name, value in first.items()}
    for place, state in enumerate(states[1:], start=2):
        found = {name: tuple(value.shape) for name, value in state.items()}
        differ = sorted(
            name for name in shapes.keys() | found.keys() if shapes.get(name) != found.get(name)
        )
        if differ:
            name = differ[0]
            raise ShapeError(
                f"weight merging: expected the names and shapes of state 1 in state {place}, but "
                f"{len(differ)} differ, such as '{name}': {shapes.get(name, 'absent')} and "
                f"{found.get(name, 'absent')}; merge models of one topology, or only the parts "
                "that they share"
            )
    names = [name for name, value in first.items() if value.is_floating_point()]
    for state in states:
        for name in names:
            checks.finite(state[name], f"weight merging: '{name}'")
    return first, names


def _rows(states: Sequence[State], names: Sequence[str]) -> Tensor:
    """All merged tensors of each state side by side, (states, entries) float64."""
    flat = [[state[name].detach().double().flatten() for name in names] for state in states]
    empty = torch.zeros(0, dtype=torch.float64)
    return torch.stack([torch.cat([*parts, empty.to(parts[0].device)]) for parts in flat])


def _restore(vector: Tensor, names: Sequence[str], like: State) -> dict[str, Tensor]:
    """A state dict of the merged entries, shaped, typed and completed like another one."""
    sizes = [like[name].numel() for name in names]
    parts = zip(names, vector.split(sizes), strict=True)
    return _with_rest({name: part.view(like[name].shape) for name, part in parts}, like)


def _with_rest(merged: State, like: State) -> dict[str, Tensor]:
    """Merged tensors in the order and types of another state, with copies of its other buffers."""
    return {
        name: merged[name].detach().to(value.dtype, copy=True)
        if name in merged
        else value.detach().clone()
        for name, value in like.items()
    }
