"""Texts and lists of codes as numbers; the vocabulary is that of the training part only."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from mmlego.data.cohorts.cohort import Cohort
from mmlego.data.cohorts.modality import Modality
from mmlego.errors import DataError

MAX_TERMS = 20_000
MIN_DOCUMENTS = 2  # a term of one document tells nothing about another
MAX_COMPONENTS = 128
MAX_CODES = 512
MIN_CODE_SHARE = 0.01
MIN_CODE_COUNT = 5


class TextEncoder(Protocol):
    """Fitted numbers of texts: names of the features, and the matrix (n, c) of n texts."""

    features: tuple[str, ...]

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Return the numbers of the texts, (n, c) float32."""


@dataclass(frozen=True, eq=False)
class WordEncoder:
    """Weighted words and pairs of neighboring words, reduced to the main directions.

    Attributes:
        terms: The fitted vocabulary and its weights.
        reduction: The fitted projection.
        features: ``component_001`` and so on, by falling singular value.
    """

    terms: TfidfVectorizer
    reduction: TruncatedSVD
    features: tuple[str, ...]

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Return the components of the texts, (n, c) float32; 0 where no term is known."""
        return self.reduction.transform(self.terms.transform(texts)).astype(np.float32)


@dataclass(frozen=True, eq=False)
class CodeEncoder:
    """One indicator per item of a list.

    Attributes:
        items: The fitted items.
        features: The items themselves, sorted.
    """

    items: CountVectorizer
    features: tuple[str, ...]

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Return 1 where a list has the item and 0 where not, (n, c) float32."""
        return self.items.transform(texts).toarray().astype(np.float32)


def fit_text(modality: Modality) -> TextEncoder:
    """Fit the encoder of a text modality on the samples given: the training part, nothing else.

    ``words``: terms are words and pairs of words that occur in 2 texts or more, the 20,000 most
    frequent, weighted by tf-idf with 1 + log(count); a truncated singular value decomposition gives
    at most 128 components. Frequent words stay, since "no" and "not" carry meaning. ``codes``:
    items stand on lines of their own; an item has an indicator if 1 % of the texts, and 5 or more,
    have it; of more than 512 the most frequent are kept.

    Raises:
        DataError: If none of the samples has a text, or no term or item is frequent enough.
    """
    texts = [t for t, here in zip(modality.values, modality.present, strict=True) if here]
    if not texts:
        raise DataError(
            f"modality '{modality.name}': expected training samples that have a text, got none; "
            "leave the modality out or use another repeat"
        )
    fit: dict[str, Callable[..., Any]] = {"words": _fit_words, "codes": _fit_codes}
    return cast(TextEncoder, fit[modality.scaling](modality.name, texts))


def encode_texts(cohort: Cohort, train: np.ndarray) -> Cohort:
    """Return the cohort with its texts as tables, fitted on the samples at the positions ``train``.

    A cohort without texts is returned as it is. Tables are standardized like others, later.
    """
    texts = {name: m for name, m in cohort.modalities.items() if m.kind == "text"}
    if not texts:
        return cohort
    tables = {name: _as_table(m, fit_text(m.take(train))) for name, m in texts.items()}
    return replace(cohort, modalities={**cohort.modalities, **tables})


def split_items(text: str) -> list[str]:
    """Return the items of a list: its lines, without blanks around them; empty lines are none."""
    return [item for line in text.split("\n") if (item := line.strip())]


def _as_table(modality: Modality, encoder: TextEncoder) -> Modality:
    return replace(
        modality,
        kind="tabular",
        values=encoder(modality.values),
        features=encoder.features,
        scaling="standard",
    )


def _fit_words(name: str, texts: list[str]) -> WordEncoder:
    terms = TfidfVectorizer(
        ngram_range=(1, 2),
        sublinear_tf=True,
        min_df=min(MIN_DOCUMENTS, len(texts)),
        max_features=MAX_TERMS,
    )
    try:
        weights = terms.fit_transform(texts)
    except ValueError as error:
        raise _no_vocabulary(name, f"a word in {MIN_DOCUMENTS} or more texts", texts) from error
    n = min(MAX_COMPONENTS, *weights.shape)
    with np.errstate(invalid="ignore"):  # equal texts have no variance to explain a share of
        reduction = TruncatedSVD(n_components=n, random_state=0).fit(weights)
    return WordEncoder(terms, reduction, tuple(f"component_{i:03d}" for i in range(1, n + 1)))


def _fit_codes(name: str, texts: list[str]) -> CodeEncoder:
    least = max(MIN_CODE_COUNT, math.ceil(MIN_CODE_SHARE * len(texts)))
    items = CountVectorizer(
        tokenizer=split_items,
        token_pattern=None,
        lowercase=False,
        binary=True,
        min_df=min(least, len(texts)),
        max_features=MAX_CODES,
    )
    try:
        items.fit(texts)
    except ValueError as error:
        raise _no_vocabulary(name, f"an item in {least} or more texts", texts) from error
    return CodeEncoder(items, tuple(items.get_feature_names_out()))


def _no_vocabulary(name: str, wanted: str, texts: list[str]) -> DataError:
    return DataError(
        f"modality '{name}': expected {wanted} of the training part, got none in {len(texts)}; use "
        "more samples, or leave the modality out"
    )
