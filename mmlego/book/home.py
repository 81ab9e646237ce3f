"""The answer on the home page, written from the results alone."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from mmlego.errors import RunError
from mmlego.studies.answer import claims, home, main_table, main_table_page, summary_page


def answer_page(results: Path, folder: Path) -> str:
    """Headline sentences, a figure, and a table; writes the figure into ``folder``.

    From the benchmark of all methods where it has run, else from merge and fusion alone. Without
    any result it says so and how to get them, so that a fresh clone still has a home page.
    """
    try:
        tasks = main_table.load_tasks(results) if main_table.benchmark_records(results) else []
        return _from_benchmark(tasks, folder) if tasks else _from_blocks(results, folder)
    except RunError as problem:
        why = str(problem).replace(str(results), results.name)
        return f"```{{warning}}\nThere are no results yet ({why}).\n```\n"


def _from_benchmark(tasks: list[main_table.TableCohort], folder: Path) -> str:
    table = main_table.main_table(tasks)
    return (
        f'<div class="mml-answer">\n\n{home.headline(tasks)}\n\n</div>\n\n'
        f"{home.how_sure(tasks)}\n\n{claims.sentences(claims.compared(tasks))}\n\n"
        + _shown(
            main_table_page.grid_figure(table),
            folder,
            "Means of all methods on all data sets",
            "Mean of every way of combining modalities on every data set, tinted by its distance "
            "from the best of that data set. [The main table](runs/table1.ipynb) has spread, "
            "published values and tests.",
        )
        + f"\n{_as_markdown(home.answer_table(tasks))}\n\n"
        "Mean ± standard deviation over repeats. The best single block is chosen by validation "
        "loss in each repeat, so it is a fair rival; the columns that say best are picked by test "
        "results and flatter the winner.\n"
    )


def _from_blocks(results: Path, folder: Path) -> str:
    found = summary_page.load_from(results)
    lines = "\n".join(f"* {line}" for line in summary_page.answer(found))
    drawn = summary_page.difference_figure(found)
    figure = (
        _shown(
            drawn,
            folder,
            "Difference of merge, fusion and ensemble to the best single block",
            "Difference to the best single block on the same splits. Small dots are repeats, large "
            "dots means, whiskers corrected 95 % intervals; right of the dashed line combining "
            "helps.",
        )
        if drawn is not None
        else ""
    )
    return (
        f'<div class="mml-answer">\n\n{summary_page.headline(found)}\n\n</div>\n\n'
        f"{lines}\n\n{figure}\n"
        f"{_as_markdown(summary_page.best_table(found))}\n\n"
        "The best single block is chosen by validation loss in each repeat, so it is a fair rival; "
        "the highest mean of all is picked by test results and flatters the winner.\n"
    )


def _shown(drawn: Figure, folder: Path, alt: str, caption: str) -> str:
    """Write the figure, and return the directive that shows it."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn.savefig(folder / "answer.svg", bbox_inches="tight")
    plt.close(drawn)
    return f"```{{figure}} generated/answer.svg\n:alt: {alt}\n:width: 100%\n\n{caption}\n```\n"


def _as_markdown(table: pd.DataFrame) -> str:
    head = "| " + " | ".join(table.columns) + " |\n|" + "---|" * len(table.columns)
    rows = "\n".join(
        "| " + " | ".join(str(value) for value in row) + " |" for row in table.to_numpy()
    )
    return f"{head}\n{rows}"
