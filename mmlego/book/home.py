"""The answer on the home page, written from the results alone."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from mmlego import figures
from mmlego.errors import RunError
from mmlego.experiments import overview


def answer_page(results: Path, folder: Path) -> str:
    """Headline sentences, a figure, and a table; writes the figure into ``folder``.

    Without any result it says so and how to get them, so that a fresh clone still has a home page.
    """
    try:
        found = overview.load_from(results)
    except RunError as problem:
        why = str(problem).replace(str(results), results.name)
        return f"```{{warning}}\nThere are no results yet ({why}).\n```\n"
    lines = "\n".join(f"* {line}" for line in overview.answer(found))
    figure = _figure(found, folder)
    return (
        f'<div class="mml-answer">\n\n{overview.headline(found)}\n\n</div>\n\n{lines}\n\n{figure}\n'
        f"{_as_markdown(overview.best_table(found))}\n\n"
        "The best single block is chosen by validation loss in each repeat, so it is a fair rival; "
        "the highest mean of all is picked by test results and flatters the winner.\n"
    )


def _figure(found: overview.Overview, folder: Path) -> str:
    """Write the figure of differences, and return the directive that shows it."""
    figures.style.use()
    drawn = overview.difference_figure(found)
    if drawn is None:
        return ""
    folder.mkdir(parents=True, exist_ok=True)
    drawn.savefig(folder / "answer.svg", bbox_inches="tight")
    plt.close(drawn)
    return (
        "```{figure} generated/answer.svg\n"
        ":alt: Difference of merge, fusion and ensemble to the best single block\n:width: 100%\n\n"
        "Difference to the best single block on the same splits. Small dots are repeats, large "
        "dots means, whiskers corrected 95 % intervals; right of the dashed line combining "
        "helps.\n```\n"
    )


def _as_markdown(table: pd.DataFrame) -> str:
    head = "| " + " | ".join(table.columns) + " |\n|" + "---|" * len(table.columns)
    rows = "\n".join(
        "| " + " | ".join(str(value) for value in row) + " |" for row in table.to_numpy()
    )
    return f"{head}\n{rows}"
