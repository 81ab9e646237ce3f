"""Classical estimators on one table of numbers: the references without a network."""

from __future__ import annotations

from functools import partial

from mmlego.learning.classical import fit_classes, fit_survival
from mmlego.methods.baselines import PAGE
from mmlego.methods.method import (
    ANYTHING,
    CLASSES,
    ESTIMATOR,
    FITTED,
    SURVIVAL,
    Family,
    Method,
    Printed,
)
from mmlego.methods.names import LOGISTIC

# One column of the ranks: penalized regression is Cox's for survival and logistic for classes.
REGRESSION = "Penalized regression"
_FAMILY = Family("Classical models", "#7a5a2e")


def _estimator(
    name: str,
    title: str,
    requires: str,
    shade: float,
    *,
    printed: str = "",
    opt_in: bool = False,
    ranked_as: str = "",
) -> tuple[str, Method]:
    """An entry of the registry: the name, by which the estimator is fitted, and the facts."""
    fit = fit_survival if requires == SURVIVAL else fit_classes
    rows = (Printed("mmdynamics.csv", printed, "Reproduction_RNA_protein"),) if printed else ()
    return name, Method(
        title=title,
        family=_FAMILY,
        shade=shade,
        build=partial(fit, name),
        kind=ESTIMATOR,
        trained=FITTED,
        page=PAGE,
        requires=requires,
        opt_in=opt_in,
        printed=rows,
        ranked_as=ranked_as,
    )


ESTIMATORS: dict[str, Method] = dict(
    (
        _estimator("coxnet", "Cox (elastic net)", SURVIVAL, 0.0, ranked_as=REGRESSION),
        _estimator("rsf", "Random survival forest", SURVIVAL, 0.06),
        _estimator("boosting", "Gradient boosting", ANYTHING, 0.12),
        _estimator(
            LOGISTIC,
            "Logistic regression",
            CLASSES,
            0.18,
            printed="LR (early)",
            ranked_as=REGRESSION,
        ),
        # References of another paper, run where they are named.
        *(
            _estimator(name, title, CLASSES, shade, printed=printed, opt_in=True)
            for name, title, shade, printed in (
                ("knn", "Nearest neighbors", 0.36, "KNN (early)"),
                ("svm", "Support vector machine", 0.30, "SVM (early)"),
                ("random_forest", "Random forest", 0.24, "RF (early)"),
                ("mlp", "Single-layer network", 0.42, "NN (early)"),
            )
        ),
    )
)
