import numpy as np
import pytest

from mmlego.errors import DataError, SettingsError, ShapeError
from mmlego.learning import classical
from mmlego.learning.classical import fit_classes, fit_survival
from mmlego.learning.metrics.scores import auc, concordance_index


@pytest.fixture
def cohort():
    """Features (200, 8), of which the first decides the hazard and the last is always 0."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((200, 8))
    x[:, -1] = 0.0
    failure, censoring = rng.exponential(np.exp(-1.5 * x[:, 0])), rng.exponential(3.0, 200)
    return x, failure <= censoring, np.minimum(failure, censoring)


@pytest.fixture
def classes():
    """Features (200, 6) and three of four classes, which the first two features decide."""
    x = np.random.default_rng(4).standard_normal((200, 6))
    return x, np.where(x[:, 0] > 0, 3, np.where(x[:, 1] > 0, 1, 0))


@pytest.mark.parametrize("method", classical.SURVIVAL_METHODS)
def test_survival_references_learn_who_fails_early(cohort, method):
    x, event, time = cohort
    model = fit_survival(method, x[:140], event[:140], time[:140])[-1]
    assert concordance_index(event[140:], time[140:], model.risk(x[140:])) > 0.7


@pytest.mark.parametrize("method", classical.SURVIVAL_METHODS)
def test_survival_falls_from_one_and_is_defined_at_all_times(cohort, method):
    x, event, time = cohort
    model = fit_survival(method, x, event, time)[-1]
    curves = model.survival(x, [0.0, *np.quantile(time, [0.2, 0.5, 0.8]), 100 * time.max()])
    assert curves.shape == (200, 5)
    assert (curves[:, 0] == 1.0).all()
    assert (np.diff(curves, axis=1) <= 1e-12).all()
    assert curves.min() >= 0.0


@pytest.mark.parametrize("method", classical.SURVIVAL_METHODS)
def test_mean_survival_follows_the_share_that_survives(cohort, method):
    """Read too early or too late, a curve would be off by the events in between."""
    from sksurv.nonparametric import kaplan_meier_estimator

    x, event, time = cohort
    model = fit_survival(method, x, event, time)[-1]
    at = np.quantile(time[event], [0.25, 0.5])
    times, share = kaplan_meier_estimator(event, time)
    expected = share[np.searchsorted(times, at, side="right") - 1]
    np.testing.assert_allclose(model.survival(x, at).mean(axis=0), expected, atol=0.04)


def test_the_path_of_penalties_goes_from_no_coefficient_to_many(cohort):
    models = fit_survival("coxnet", *cohort)
    assert [m.penalty for m in models] == sorted((m.penalty for m in models), reverse=True)
    assert models[0].n_nonzero == 0 < models[-1].n_nonzero < 8
    assert np.ptp(models[0].risk(cohort[0])) == 0 < np.ptp(models[-1].risk(cohort[0]))


def test_a_diverging_path_is_cut_short(cohort, monkeypatch):
    """A feature that orders all events has no finite coefficient without a penalty."""
    x, event, time = cohort
    x[:, 1] = -time
    monkeypatch.setattr(classical, "WEAKEST_PENALTIES", (1e-12, 0.5))
    models = fit_survival("coxnet", x, event, time)
    assert models[-1].penalty == pytest.approx(0.5 * models[0].penalty)
    monkeypatch.setattr(classical, "WEAKEST_PENALTIES", (1e-12,))
    with pytest.raises(DataError, match="divergence at every penalty"):
        fit_survival("coxnet", x, event, time)


def test_forest_times_are_moved_up_to_few_steps(cohort):
    _, event, time = cohort
    moved = classical._stepped(time, event)
    assert len(np.unique(moved)) <= classical.FOREST_STEPS + 1
    assert (moved >= time).all()
    assert moved.max() == time.max()
    assert (np.diff(moved[np.argsort(time)]) >= 0).all()


@pytest.mark.parametrize("method", classical.CLASS_METHODS)
def test_class_references_learn_and_know_absent_classes(classes, method):
    x, label = classes
    model = fit_classes(method, x[:140], label[:140], 4)[-1]
    probability = model.probability(x[140:])
    assert probability.shape == (60, 4)
    np.testing.assert_allclose(probability.sum(axis=1), 1.0)
    assert (probability[:, 2] == 0).all()
    # ten epochs of a single step each are all that the network has
    least = 0.7 if method == "mlp" else 0.9
    assert auc((label[140:] == 3).astype(int), probability[:, 3]) > least


def test_each_ridge_keeps_its_own_coefficients(classes):
    models = fit_classes("logistic", *classes, 4)
    sizes = [np.linalg.norm(model.estimator.coef_) for model in models]
    assert sizes == sorted(sizes)
    assert sizes[0] < 0.01 * sizes[-1]
    assert models[0].n_parameters == 3 * 6 + 3


@pytest.mark.parametrize("method", ["rsf", "boosting"])
def test_the_seed_decides_a_forest(cohort, method):
    first, again, other = (fit_survival(method, *cohort, seed=s)[0] for s in (1, 1, 2))
    x = cohort[0]
    assert np.array_equal(first.risk(x), again.risk(x))
    assert not np.array_equal(first.risk(x), other.risk(x))
    assert first.n_parameters > 100


@pytest.mark.parametrize("fit", [fit_survival, fit_classes])
def test_bad_input(cohort, classes, fit):
    x, *target = cohort if fit is fit_survival else (*classes, 4)
    with pytest.raises(SettingsError, match="got 'lda'"):
        fit("lda", x, *target)
    with pytest.raises(ShapeError, match="finite"):
        fit("boosting", np.full_like(x, np.nan), *target)
    with pytest.raises(ShapeError, match=r"got \(199"):
        fit("boosting", x[1:], *target)
    with pytest.raises(DataError, match="that varies"):
        fit("boosting", np.zeros_like(x), *target)
    with pytest.raises(DataError, match="more samples"):
        fit("boosting", x, np.zeros_like(target[0]), *target[1:])


@pytest.mark.parametrize("n_classes", [2, 3])
def test_scores_of_a_support_vector_machine_choose_its_class(n_classes):
    rng = np.random.default_rng(5)
    x = rng.standard_normal((150, 4))
    label = np.digitize(x[:, 0] + 0.5 * rng.standard_normal(150), [0.0, 0.8][: n_classes - 1])
    (model,) = fit_classes("svm", x, label, n_classes)
    predicted = model.probability(x).argmax(axis=1)
    np.testing.assert_array_equal(predicted, model.estimator.predict(x))
