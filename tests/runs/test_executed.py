from base64 import b64decode, b64encode
from io import BytesIO

import nbformat
from matplotlib import pyplot as plt
from nbformat import v4
from PIL import Image

from mmlego.runs.executed import clean_warnings, presentable
from mmlego.runs.settings import SignalSettings

WARNED = "/home/me/lib/metrics.py:140: MetricWarning: c_index is NaN: no pair\n  warnings.warn(m)\n"


def test_warnings_keep_words_and_lose_paths():
    assert clean_warnings(WARNED) == "MetricWarning: c_index is NaN: no pair\n"


def test_same_warning_is_shown_once():
    assert clean_warnings(WARNED + WARNED).count("MetricWarning") == 1


def test_other_messages_stay():
    assert clean_warnings("something else\n") == "something else\n"
    assert clean_warnings(WARNED + "something else\n").endswith("something else\n")


def test_progress_bar_warnings_leave_no_output():
    text = (
        "/x/tqdm/auto.py:21: TqdmWarning: IProgress not found.\n  from .autonotebook import tqdm\n"
    )
    cell = v4.new_code_cell("1", outputs=[v4.new_output("stream", name="stderr", text=text)])
    notebook = presentable(v4.new_notebook(cells=[cell]), SignalSettings())
    assert notebook.cells[0].outputs == []


def test_no_path_or_time_of_the_machine_is_left():
    cell = v4.new_code_cell(
        "results = '/home/me/results'",
        metadata={"tags": ["injected-parameters"], "papermill": {"start_time": "2026"}},
        outputs=[v4.new_output("stream", name="stderr", text=WARNED)],
    )
    notebook = v4.new_notebook(cells=[cell], metadata={"papermill": {"output_path": "/home/me/x"}})
    text = nbformat.writes(presentable(notebook, SignalSettings(results="/home/me/results")))
    assert "/home/me" not in text
    assert "start_time" not in text
    assert "n = 1000" in notebook.cells[0].source


def test_figures_get_a_palette_and_nothing_else_changes():
    figure, axes = plt.subplots()
    axes.plot([0, 1], [1, 0])
    file = BytesIO()
    figure.savefig(file, format="png")
    plt.close(figure)
    png = b64encode(file.getvalue()).decode()
    data = {"image/png": png, "text/plain": "<Figure>"}
    table = {"text/html": "<table></table>", "text/plain": "1"}
    outputs = [
        v4.new_output("display_data", data=data),
        v4.new_output("execute_result", data=table, execution_count=1),
    ]
    cell = v4.new_code_cell("draw()", outputs=outputs)
    notebook = presentable(v4.new_notebook(cells=[cell]), SignalSettings())
    drawn, shown = notebook.cells[0].outputs
    assert len(drawn.data["image/png"]) < len(png) / 2
    assert Image.open(BytesIO(b64decode(drawn.data["image/png"]))).mode == "P"
    assert drawn.data["text/plain"] == "<Figure>"
    assert shown.data == table
    once = nbformat.writes(notebook)
    assert nbformat.writes(presentable(notebook, SignalSettings())) == once
