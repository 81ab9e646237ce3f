"""From a data card to scaled batches: cards, cohorts, splits, folds.

``load_cohort`` gives a cohort, ``make_splits`` or ``load_splits`` divide it, ``make_fold`` scales
one division and gives the training, validation and test ``Samples`` that models are fed with.
"""

from mmlego.data.cards.card import Card
from mmlego.data.cards.catalog import card_dirs, list_cards, load_card
from mmlego.data.cohorts.cohort import Cohort
from mmlego.data.cohorts.load import load_cohort
from mmlego.data.cohorts.modality import Modality
from mmlego.data.cohorts.target import ClassTarget, SurvivalTarget
from mmlego.data.folds.fold import Fold, make_fold
from mmlego.data.folds.pathways import load_signatures, with_pathways
from mmlego.data.folds.samples import Batch, Samples
from mmlego.data.folds.splits import Split, leak_rate, load_splits, make_splits, save_splits
from mmlego.data.folds.tabular import with_tabular

__all__ = [
    "Batch",
    "Card",
    "ClassTarget",
    "Cohort",
    "Fold",
    "Modality",
    "Samples",
    "Split",
    "SurvivalTarget",
    "card_dirs",
    "leak_rate",
    "list_cards",
    "load_card",
    "load_cohort",
    "load_signatures",
    "load_splits",
    "make_fold",
    "make_splits",
    "save_splits",
    "with_pathways",
    "with_tabular",
]
