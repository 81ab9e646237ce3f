"""HTML tables that sort at a click on a heading: in a notebook, in the book, without a library."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

EMPTY = "–"
# The number that a cell begins with, if a word does not go on behind it: "0.61 ± 0.03", "1,569",
# "< 0.001", but not "3d". Possessive, so that no shorter number is tried instead.
_NUMBER = re.compile(r"[<>≤≥]?\s*([+\-−]?\d++(?:,\d{3})*+(?:\.\d++)?+(?:e[+\-]?\d++)?+)(?!\w)")


def sort_key(words: str) -> str | None:
    """Return by what the text of a cell sorts: its first number, "" if empty, None if by text."""
    if words.strip() in ("", EMPTY):
        return ""
    number = _NUMBER.match(words)
    return number.group(1).replace(",", "").replace("−", "-") if number else None


def cell(
    content: str, *, key: str | None, names: Sequence[str] = (), row_head: bool = False
) -> str:
    """Return a cell of a table.

    Args:
        content: HTML, already escaped.
        key: What ``sort_key`` returned.
        names: CSS classes.
        row_head: Whether the cell names its row.
    """
    sort = "" if key is None else f' data-sort="{key}"'
    tag, scope = ("th", ' scope="row"') if row_head else ("td", "")
    classes = " ".join(("num", *names) if key else names)
    return f'<{tag}{scope}{sort} class="{classes}">{content}</{tag}>'


def assemble(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    caption: str = "",
    note: str = "",
    sortable: bool = True,
    names: Sequence[str] = (),
) -> str:
    """Return a table of finished cells with its caption, its note and its script.

    Headings are buttons, so that they are reached by the tab key, and tell by ``aria-sort`` how the
    table is sorted. Numbers sort by value, texts by the alphabet, empty cells always come last.

    Args:
        headings: Plain text of the headings.
        rows: HTML of the cells, from ``cell``.
        caption: Plain text above the table, left out if empty.
        note: HTML below the table, left out if empty.
        sortable: Add the sorting buttons and their script.
        names: Further CSS classes of the whole.
    """
    head = "".join(_heading(html.escape(name), sortable) for name in headings)
    body = "\n".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    words = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    below = f'<p class="mml-note">{note}</p>' if note else ""
    classes = " ".join(["mml-table", *(["mml-sortable"] if sortable else []), *names])
    return (
        f'<div class="{classes}"><table>{words}\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table>{below}{_SCRIPT if sortable else ''}</div>"
    )


def _heading(words: str, sortable: bool) -> str:
    return f'<th scope="col">{f"<button>{words}</button>" if sortable else words}</th>'


# One listener per page, whichever table brings it: a notebook may draw a table again at any time,
# and not every viewer knows document.currentScript.
_SCRIPT = """
<script>(() => {
  if (window.mmlSorts) return;
  window.mmlSorts = true;
  const key = (row, i) => row.cells[i].dataset.sort ?? row.cells[i].textContent.trim();
  const compare = (a, b) => {
    const x = Number(a), y = Number(b);
    if (!isNaN(x) && !isNaN(y)) return x - y;
    return isNaN(x) - isNaN(y) || a.localeCompare(b, "en", {numeric: true});
  };
  document.addEventListener("click", event => {
    const head = event.target.closest(".mml-sortable thead th");
    if (!head) return;
    const up = head.getAttribute("aria-sort") !== "ascending", i = head.cellIndex;
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const body = head.closest("table").tBodies[0];
    [...body.rows]
      .map(row => [key(row, i), row])
      .sort(([a], [b]) => (a === "") - (b === "") || (up ? 1 : -1) * compare(a, b))
      .forEach(([, row]) => body.append(row));
  });
})()</script>"""
