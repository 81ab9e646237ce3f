"""Whether a rule of token replacement can give the donors that an instance shows.

In one pass each position has a modality with the highest score and a runner-up. Every replaced
token is a copy of the highest, and that of the highest itself a copy of the runner-up. How many
tokens of each modality are replaced depends on the rule alone. So the positions of an instance must
be dealt out over the ways that one position can go, with numbers of replaced tokens that the rule
allows: a problem in whole numbers, solved exactly. It leaves out that scores of different positions
have to fit each other and the importances. What fails here is therefore ruled out, and what does
not fail is merely not ruled out.
"""

from __future__ import annotations

from functools import cache
from itertools import combinations, permutations

import numpy as np
from scipy import optimize

from mmlego.errors import DataError

RULES = ("literal", "inverse", "retain", "positionwise")
SHOWN = ("last donor", "origin")
_M = 3  # modalities of the published figure
PAIRS = tuple((donor, to) for to in range(_M) for donor in range(_M) if donor != to)

_Way = tuple[tuple[tuple[int, ...], ...], tuple[int, ...]]
_Path = tuple[tuple[tuple[int, ...], ...], tuple[int, ...], tuple[int, ...]]


@cache
def ways(passes: int, shown: str, *, one_loser: bool = False) -> tuple[_Way, ...]:
    """Return all that can happen at one position of three modalities.

    Args:
        passes: Number of replacements, one after the other.
        shown: What is seen of a token at the end: "last donor", the modality it was last copied
            from, or "origin", the modality whose token it was at the start. They differ after two
            passes: a token that was copied and comes back is its own again by origin.
        one_loser: Only the modality with the lowest score may be replaced, as in the positionwise
            rule.

    Returns:
        One (replaced modalities of each pass, what is seen of each modality) per way.
    """
    start = tuple(range(_M))
    found: set[_Path] = {((), start, start)}
    for _ in range(passes):
        found = {
            ((*history, losers), *_copied(seen, origin, losers, order))
            for history, seen, origin in found
            for order in permutations(range(_M))
            for losers in _losers(order, one_loser=one_loser)
        }
    last = shown == "last donor"
    return tuple(sorted({(history, seen if last else origin) for history, seen, origin in found}))


def _losers(order: tuple[int, ...], *, one_loser: bool) -> list[tuple[int, ...]]:
    if one_loser:
        return [(), order[-1:]]
    return [some for size in range(_M + 1) for some in combinations(range(_M), size)]


def _copied(
    seen: tuple[int, ...], origin: tuple[int, ...], losers: tuple[int, ...], order: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """One pass: the last donor and the origin of each modality's token, all copied at once."""
    donors = [order[1] if each == order[0] else order[0] for each in range(_M)]
    last = tuple(donors[each] if each in losers else seen[each] for each in range(_M))
    return last, tuple(origin[donors[m]] if m in losers else origin[m] for m in range(_M))


def possible(
    donors: np.ndarray, rule: str, *, passes: int = 1, shown: str = "origin", tokens: int = 32
) -> np.ndarray:
    """Return for each instance whether the rule can give its donors, bool (n,); False rules it out.

    Args:
        donors: Whole numbers (n, 6): replaced tokens by donor and replaced modality, in the order
            of ``PAIRS``. The other tokens are their modality's own.
        rule: "literal", "inverse", "retain" or "positionwise".
        passes: 1 or 2.
        shown: What the numbers count, see ``ways``; no difference after one pass.
        tokens: Tokens of a modality.

    Raises:
        DataError: If an argument is none of these, or a number is negative or has a fraction.
    """
    if rule not in RULES or passes not in (1, 2) or shown not in SHOWN:
        raise DataError(
            f"possible: expected a rule of {RULES}, 1 or 2 passes and {SHOWN} shown, got "
            f"{rule!r}, {passes!r} and {shown!r}"
        )
    donors = np.asarray(donors, dtype=float)
    whole = (donors >= 0).all() and not (donors % 1).any()
    if not whole or donors.ndim != 2 or donors.shape[1] != len(PAIRS):
        raise DataError(
            f"possible: expected whole numbers (instances, {len(PAIRS)}) from 0 up, got shape "
            f"{donors.shape}; count tokens by donor and replaced modality, in the order {PAIRS}"
        )
    known = ways(passes, shown, one_loser=rule == "positionwise")
    matrix = [[int(seen[to] == donor) for _, seen in known] for donor, to in PAIRS]
    low, high = [tokens], [tokens]
    matrix.append([1] * len(known))
    for at in range(passes):
        for some, least, most in limits(rule, tokens):
            matrix.append([sum(m in history[at] for m in some) for history, _ in known])
            low.append(least)
            high.append(most)
    problem = np.array(matrix, dtype=float), np.array(low, float), np.array(high, float)
    return np.array([_dealt(row, *problem, tokens) for row in donors], dtype=bool)


def limits(rule: str, n: int) -> list[tuple[tuple[int, ...], int, int]]:
    """Return what a rule allows K of one pass: modalities, and the ends of the sum of their K.

    For three modalities these inequalities leave the same whole numbers as
    ``token_counts.feasible_counts``, where the totals are derived. Under the inverse rule u_m is at
    most n/2, so that K_m <= n/2; two others then have u of at least n/2 together, and floors that
    sum to more than n/2 - 2.
    """
    everything = tuple(range(_M))
    low, high = {"literal": (n - 2, n), "inverse": (n - 2, n), "retain": (2 * n, 2 * n + 2),
                 "positionwise": (n - 1, n - 1)}[rule]  # fmt: skip
    found = [(everything, low, high)]
    if rule == "inverse":
        found += [((m,), 0, n // 2) for m in everything]
        found += [(two, n // 2 - 1, n) for two in combinations(everything, 2)]
    return found


def _dealt(
    row: np.ndarray, matrix: np.ndarray, low: np.ndarray, high: np.ndarray, tokens: int
) -> bool:
    ends = np.concatenate([row, low]), np.concatenate([row, high])
    answer = optimize.milp(
        np.zeros(matrix.shape[1]), integrality=np.ones(matrix.shape[1]),
        bounds=optimize.Bounds(0, tokens), constraints=optimize.LinearConstraint(matrix, *ends),
    )  # fmt: skip
    if answer.status not in (0, 2):  # solved, infeasible
        raise DataError(
            f"possible: the solver stopped with '{answer.message}' on {row.astype(int).tolist()}; "
            "neither possible nor impossible is shown"
        )
    return answer.status == 0
