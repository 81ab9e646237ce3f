"""The answer on the home page, written from the results alone."""

from __future__ import annotations

from pathlib import Path

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
        return f"```{{warning}}\nThere are no results yet ({problem}).\n```\n"
    lines = "\n".join(f"* {line}" for line in overview.answer(found))
    table = overview.paired_table(found)
    figure = ""
    if "verdict" in table:
        folder.mkdir(parents=True, exist_ok=True)
        figures.style.use()
        overview.difference_figure(found).savefig(folder / "answer.svg", bbox_inches="tight")
        figure = (
            "```{figure} generated/answer.svg\n:alt: Difference of merge, fusion and ensemble to "
            "the best single block\n"
            ":width: 100%\n\nDifference to the best single block (chosen by validation) on the "
            "same splits. "
            "Small dots are repeats, large dots means, whiskers corrected 95 % intervals; "
            "right of the dashed line combining modalities helps.\n```\n"
        )
    return f"{lines}\n\n{figure}\n{_as_markdown(table)}\n"


def _as_markdown(table) -> str:  # noqa: ANN001
    head = "| " + " | ".join(table.columns) + " |\n|" + "---|" * len(table.columns)
    rows = "\n".join(
        "| " + " | ".join(str(value) for value in row) + " |" for row in table.to_numpy()
    )
    return f"{head}\n{rows}"
