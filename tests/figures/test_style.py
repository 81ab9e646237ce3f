from __future__ import annotations

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from mmlego.errors import DataError, MMLegoError, ShapeError
from mmlego.figures import checks, forest_plot, style
from mmlego.figures.spread import ends_of, interval
from mmlego.methods.registry import METHODS


def test_every_method_has_a_color_of_its_own():
    colors = {style.color(method) for method in METHODS}
    assert len(colors) == len(METHODS)
    assert style.NEUTRAL not in colors


def test_methods_are_called_and_grouped_as_in_the_registry():
    for name, method in METHODS.items():
        assert style.title(name) == method.title
        assert style.family(name) == method.family.title
    hues = {method.family.title: method.family.hue for method in METHODS.values()}
    assert len(set(hues.values())) == len(hues)
    assert all(style.color(n) == m.family.hue for n, m in METHODS.items() if m.shade == 0)


def test_own_method_is_neutral_and_named_after_itself():
    assert style.color("my_method") == style.NEUTRAL
    assert style.family("my_method") == "Own method"
    assert style.title("my_method") == "my method"
    assert style.title("c_index") == "Concordance index"


def test_drawing_changes_no_global_state(results):
    plt.close(plt.figure())  # loads the backend, which has settings of its own
    with mpl.rc_context({"axes.grid": False, "font.size": 7.0, "legend.frameon": True}):
        before = dict(mpl.rcParams)
        figure = forest_plot(results)
        assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == [figure.number]
    assert figure.axes[0].xaxis.label.get_fontsize() == 11.5


def test_a_failed_figure_leaves_no_style_behind(results):
    with mpl.rc_context({"axes.grid": False}):
        with pytest.raises(DataError):
            forest_plot(results[:0])
        assert not mpl.rcParams["axes.grid"]


def test_use_sets_the_style():
    with mpl.rc_context():
        style.use()
        assert mpl.rcParams["axes.spines.top"] is False


def test_interval_against_hand_computed_values():
    # mean 2, s = 1, t(0.975, 2) = 4.30265
    plain = interval([1, 2, 3])
    assert plain.upper - plain.mean == pytest.approx(4.302653 / 3**0.5, abs=1e-6)
    corrected = interval([1, 2, 3], test_train_ratio=0.2)
    assert corrected.upper - 2 == pytest.approx(4.302653 * (1 / 3 + 0.2) ** 0.5, abs=1e-6)
    assert interval([1, 2, 3], kind="sd")[:3] == pytest.approx((2, 1, 3))
    boot = interval([1, 2, 3], kind="bootstrap")
    assert 1 <= boot.lower < 2 < boot.upper <= 3


def test_ends_stay_within_the_scale_of_a_metric():
    assert ends_of("auc", "sd")([0.8, 1.0]) == pytest.approx((0.9 - 0.02**0.5, 1.0))
    assert ends_of("auc", "sd", difference=True)([-0.8, -1.0])[0] == -1
    assert ends_of("seconds", "sd")([1, 2, 3]) == pytest.approx((1, 3))
    low, high = ends_of("auc", "ci")([0.6])
    assert low != low  # NaN
    assert high != high


def test_one_repeat_has_no_interval():
    one = interval([0.6])
    assert one.n == 1
    assert one.lower != one.lower  # NaN


@pytest.mark.parametrize("ratio", [0, -0.1, float("nan")])
def test_interval_refuses_a_ratio_that_is_not_positive(ratio):
    with pytest.raises(DataError, match="test_train_ratio"):
        interval([1, 2], test_train_ratio=ratio)


@pytest.mark.parametrize("values", [[], [1, float("nan")], [float("inf")], ["a"], [[1.0]]])
def test_numbers_are_checked(values):
    with pytest.raises(ShapeError, match="risk: expected"):
        checks.finite(values, name="risk")


def test_no_table_is_refused():
    with pytest.raises(MMLegoError, match="expected a pandas DataFrame, got list"):
        checks.table([1], ("a",), name="forest_plot")


def test_a_name_within_a_sentence_is_in_lower_case():
    assert style.word("accuracy") == style.title("accuracy").lower()
    first, *rest = style.title("c_index_ipcw")
    assert style.word("c_index_ipcw") == "".join([first.lower(), *rest])
