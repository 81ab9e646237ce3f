"""What the published map of replaced tokens says about the rule that made it.

The paper gives a formula for the number K of replaced tokens and words that say the opposite. Its
map of 100 instances, digitized, tells how many tokens of each modality were replaced in each, and
by whom. A rule that cannot give an instance did not make it; one that can may have made it or not.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from mmlego.errors import DataError
from mmlego.reporting.published import read_published
from mmlego.studies.tokens.counts import can_be_given, feasible_counts, importance_needed
from mmlego.studies.tokens.origins import RULES, SHOWN, possible

FIGURE = "amc_fig8.csv"
TOKENS = 32
NAMES = ("code", "lab", "note")
COUNTS = tuple(f"{name}_replaced" for name in NAMES)
DONORS = tuple(f"{donor}_to_{to}" for to in NAMES for donor in NAMES if donor != to)


def digitised() -> pd.DataFrame:
    """Replaced tokens of each instance of the published map, by modality and by donor.

    Returns:
        instance, three columns as ``COUNTS`` and six as ``DONORS``, whole numbers of 32 tokens.

    Raises:
        DataError: If the donors of a modality do not add up to its replaced tokens.

    Source: AMC paper, Fig. 8, digitized.
    """
    table = read_published(FIGURE)
    for to in NAMES:
        parts = [column for column in DONORS if column.endswith(f"_to_{to}")]
        wrong = table[table[parts].sum(axis=1) != table[f"{to}_replaced"]]
        if not wrong.empty:
            raise DataError(
                f"{FIGURE}: expected donors that add up to {to}_replaced, got another sum in "
                f"instances {wrong['instance'].tolist()}; digitize them again"
            )
    return table


def evidence_table(table: pd.DataFrame | None = None) -> pd.DataFrame:
    """How many instances of the published map each reading can give, and what fails.

    Args:
        table: Instances as ``digitised`` returns them, which is taken if None. All 100 take some
            ten seconds.

    Returns:
        rule, passes, shown (what the colors of the map mean: the modality a token was last copied
        from, or the one it comes from, which differ after two passes), n, explained and share (by
        donors and counts), explained_counts (by counts alone, NaN for origins after two passes),
        allowed (share of all imaginable counts that the rule can give: a rule that allows much
        explains little), fails (text, what stands against the others).
    """
    table = digitised() if table is None else table
    counts, donors = table[list(COUNTS)].to_numpy(), table[list(DONORS)].to_numpy()
    rows = []
    for rule in RULES:
        for passes, shown in ((1, "either"), *((2, each) for each in SHOWN)):
            row = {"rule": rule, "passes": passes, "shown": shown, "n": len(table)}
            by_counts = np.ones(len(table), dtype=bool)
            if shown != "origin":
                by_counts = can_be_given(counts, rule, passes=passes)
            meant = SHOWN[0] if passes == 1 else shown
            can = by_counts.copy()
            can[by_counts] = possible(donors[by_counts], rule, passes=passes, shown=meant)
            row |= {"explained": int(can.sum()), "share": float(can.mean()),
                    "explained_counts": np.nan, "allowed": np.nan,
                    "fails": "" if can.all() else f"donors ({(~can).sum()})"}  # fmt: skip
            if shown != "origin":
                reached = feasible_counts(rule, passes=passes)
                row |= {"explained_counts": int(by_counts.sum()),
                        "allowed": len(reached) / (TOKENS + 1) ** len(NAMES),
                        "fails": _fails(counts, reached, by_counts, can)}  # fmt: skip
            rows.append(row)
    return pd.DataFrame(rows)


def _fails(counts: np.ndarray, reached: np.ndarray, by_counts: np.ndarray, can: np.ndarray) -> str:
    """The first check that each unexplained instance fails, with how many fail it."""
    totals, limits = counts.sum(axis=1), reached.sum(axis=1)
    total = (totals < limits.min()) | (totals > limits.max())
    single = ~total & ((counts > reached.max()) | (counts < reached.min())).any(axis=1)
    checks = {
        f"total outside {limits.min()} to {limits.max()}": total,
        f"a modality outside {reached.min()} to {reached.max()}": single,
        "combination of counts": ~by_counts & ~total & ~single,
        "donors": by_counts & ~can,
    }
    return "; ".join(f"{words} ({here.sum()})" for words, here in checks.items() if here.any())


def summary() -> dict[str, float]:
    """Facts about the published map: means, totals, and how often counts take special values.

    Returns:
        n; mean_code, mean_lab, mean_note, mean_total; lowest_total, highest_total; one_pass, the
        instances whose total fits one pass (up to 32); all_but_one, those whose only replaced
        modality lost 31 of 32 tokens, and all_but_one_<name> of each modality; highest_count,
        the most replaced tokens of one modality, and n_highest_count, the instances that have it;
        needs_half, the share of instances in which two literal passes need an importance of 1/2 or
        more if overwritten tokens are counted once.
    """
    counts = digitised()[list(COUNTS)].to_numpy()
    totals, highest = counts.sum(axis=1), counts.max(axis=1)
    alone = (highest == TOKENS - 1) & (totals == TOKENS - 1)
    named = {f"all_but_one_{name}": int((alone & (counts[:, at] > 0)).sum())
             for at, name in enumerate(NAMES)}  # fmt: skip
    return {
        "n": len(counts),
        **{f"mean_{name}": float(counts[:, at].mean()) for at, name in enumerate(NAMES)},
        "mean_total": float(totals.mean()),
        "lowest_total": int(totals.min()),
        "highest_total": int(totals.max()),
        "one_pass": int((totals <= TOKENS).sum()),
        "all_but_one": int(alone.sum()),
        **named,
        "highest_count": int(highest.max()),
        "n_highest_count": int((highest == highest.max()).sum()),
        "needs_half": float((importance_needed(counts) >= 0.5).mean()),
    }


def evidence_sentences(table: pd.DataFrame) -> str:
    """What ``evidence_table`` and ``summary`` say, in words.

    Args:
        table: Rows as ``evidence_table`` returns them.
    """
    facts, total = summary(), int(table["n"].iloc[0])
    means = ", ".join(f"{facts[f'mean_{name}']:.1f} ({name})" for name in NAMES)
    once = table[table["passes"] == 1]
    words = [
        f"The published map shows {facts['n']} instances with {TOKENS} tokens per modality. Of "
        f"these {means} are replaced on average, {facts['mean_total']:.1f} in all "
        f"({facts['lowest_total']} to {facts['highest_total']}). In {facts['all_but_one']} "
        f"instances {TOKENS - 1} tokens of one modality are replaced and none of the others.",
        f"A single replacement leaves {_listed(once)} of {total} instances possible.",
    ]
    for shown, meant in ((SHOWN[0], "the modality that a token was last copied from"),
                         (SHOWN[1], "the modality that a token comes from")):  # fmt: skip
        part = table[(table["passes"] == 2) & (table["shown"] == shown)]
        words.append(f"If colors are {meant}, two replacements leave {_listed(part)}.")
    left = table.loc[table["explained"] == total, "rule"]
    open_rules = [rule for rule in RULES if rule in set(left)]
    if len(open_rules) > 1:
        words.append(
            f"So the map does not decide between {', '.join(open_rules)}: each leaves every "
            "instance possible under one of the two meanings."
        )
    widest = table.loc[table["allowed"].idxmax()]
    words.append(
        f"That an instance is possible says little: {widest['rule']} allows "
        f"{widest['allowed']:.0%} of all imaginable counts after {widest['passes']} replacements. "
        f"Two literal replacements that never bring a token back need an importance of at least "
        f"1/2 in {facts['needs_half']:.0%} of the instances; equal importance is 1/{len(NAMES)}."
    )
    return " ".join(words)


def _listed(rows: pd.DataFrame) -> str:
    return ", ".join(f"{row.explained} ({row.rule})" for row in rows.itertuples())


def importance_against(unimodal: Mapping[str, float], counts: pd.DataFrame) -> pd.DataFrame:
    """Correlate importance, score alone and replaced tokens over modalities.

    The paper calls codes its least and its most valuable modality; this asserts neither.

    Args:
        unimodal: F1 (or another score, higher is better) of each modality alone.
        counts: Columns modality, importance, replaced: one row per replacement and modality; means
            by modality are taken.

    Returns:
        first, second (importance, unimodal, replaced), n (modalities), pearson, spearman; NaN where
        one side is the same for all modalities.

    Raises:
        DataError: If columns are missing, a number is not finite, the modalities differ, or there
            are fewer than three, through which any correlation is perfect.
    """
    absent = [name for name in ("modality", "importance", "replaced") if name not in counts]
    if absent:
        raise DataError(
            f"importance_against: expected columns modality, importance and replaced, missing "
            f"{absent}; got {list(map(str, counts.columns))}"
        )
    means = counts.groupby("modality", sort=False)[["importance", "replaced"]].mean()
    if set(means.index) != set(unimodal) or len(means) < 3:
        raise DataError(
            f"importance_against: expected the same three modalities or more on both sides, got "
            f"{list(unimodal)} and {list(means.index)}; two points always correlate perfectly"
        )
    means["unimodal"] = pd.Series(dict(unimodal), dtype=float)
    if not np.isfinite(counts[["importance", "replaced"]].to_numpy(float)).all() or (
        not np.isfinite(means["unimodal"]).all()
    ):
        raise DataError(
            "importance_against: expected finite numbers, got NaN or infinity; leave out samples "
            "without a replacement"
        )
    pairs = (("importance", "unimodal"), ("importance", "replaced"), ("replaced", "unimodal"))
    return pd.DataFrame(
        [{"first": a, "second": b, "n": len(means)} | _correlations(means[a], means[b])
         for a, b in pairs]
    )  # fmt: skip


def _correlations(a: pd.Series, b: pd.Series) -> dict[str, float]:
    """Pearson and Spearman, NaN where one side is one value but for rounding."""
    if any(np.ptp(side) <= 1e-10 * side.abs().max() for side in (a, b)):
        return {"pearson": np.nan, "spearman": np.nan}
    return {"pearson": float(a.corr(b)), "spearman": float(a.rank().corr(b.rank()))}
