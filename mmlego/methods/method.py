"""What the compendium knows of a method: the fields of an entry of the registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from mmlego.methods.making import Sizes

# What a method is given.
UNIMODAL = "unimodal"
MULTIMODAL = "multimodal"
EITHER = "either"
ESTIMATOR = "estimator"
WEIGHTS = "weight merging"
KINDS = (UNIMODAL, MULTIMODAL, EITHER, ESTIMATOR, WEIGHTS)

# How it is trained.
AS_A_WHOLE = "as a whole"
MERGED = "merged"
FUSED = "fused"
FITTED = "fitted"
TRAININGS = (AS_A_WHOLE, MERGED, FUSED, FITTED)

# What it needs of the modalities or the task, beyond its kind.
ANYTHING = ""
PAIR = "pair"
TABLES_AND_BAG = "tables+bag"
SURVIVAL = "survival"
CLASSES = "classes"
NEEDS = (ANYTHING, PAIR, TABLES_AND_BAG, SURVIVAL, CLASSES)

# Questions that are asked of a few methods only, since each takes much training.
SCARCE = "trained while a modality is scarce"
TRAINED_AGAIN = "trained again when a modality is added"
DIVIDED = "trained on divided patients"
COST_BY_SIZE = "cost measured against sizes"
ROLES = (SCARCE, TRAINED_AGAIN, DIVIDED, COST_BY_SIZE)


@dataclass(frozen=True)
class Family:
    """Methods that look alike in figures.

    Attributes:
        title: Name for readers.
        hue: Color of its first member, ``#rrggbb``.
    """

    title: str
    hue: str


@dataclass(frozen=True)
class Printed:
    """A row of published numbers that is about a method.

    Attributes:
        file: File in ``data/published``.
        model: What the row is called there.
        table: Table or group of rows in the file; empty for any.
        arm: Configuration of the method that the row is about; empty for the default.
    """

    file: str
    model: str
    table: str = ""
    arm: str = ""


@dataclass(frozen=True)
class SearchSpace:
    """What is searched of a model, beside the learning rate and the penalties of every method.

    Attributes:
        sizes: Choices by option of the model.
        dropouts: Rates that are searched, with the given one, the default of the model.
        given: Given choice of each size, the default of the model.
        from_settings: Sizes whose given choice the settings of a run say.
    """

    sizes: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    dropouts: Mapping[str, float] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)
    from_settings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Making:
    """How a small model is made from sizes alone, to measure what it costs and can do.

    Attributes:
        narrow: Options of the model that set all hidden layers to a width; None where it has no
            such option.
        has_latent: Whether the width of a latent is a size of the model.
        part: Makes the untrained part of one modality; None for what is trained as a whole.
        wrap: Makes the untrained part of a modality round an encoder of any architecture, from the
            sizes, the name, the encoder and its width.
        assemble: Makes the whole from parts.
    """

    narrow: Callable[[int], dict[str, Any]] | None = None
    has_latent: bool = False
    part: Callable[[Sizes, str], nn.Module] | None = None
    wrap: Callable[[Sizes, str, nn.Module, int], nn.Module] | None = None
    assemble: Callable[..., nn.Module] | None = None


@dataclass(frozen=True, kw_only=True)
class Method:
    """One method of the comparison.

    Attributes:
        title: Name for readers.
        family: What it is drawn like.
        shade: Place in its family: share of the way from the family's hue to white, below .5.
        build: Class of the model, or what makes it.
        kind: ``unimodal`` for models of a single modality, ``multimodal`` for models under the
            contract of several modalities, ``either`` for those under the contract that also take
            a single one, ``estimator`` for estimators on a table of numbers, ``weight merging``
            for merging of weights.
        trained: ``as a whole``; ``merged``, put together from trained models; ``fused``, put
            together and tuned; ``fitted``, as an estimator.
        page: Page of the book that explains it.
        requires: What it needs: ``""`` nothing more than its kind says, ``pair`` exactly two
            modalities, ``tables+bag`` at least one table and exactly one bag or series,
            ``survival`` or ``classes`` for a task.
        images: Whether it can be given images, through an encoder.
        volumes: Whether it can be given volumes.
        raw_images: Whether it wants them with colors in [0, 1] rather than standardized.
        tokens: Whether it reads the tokens that AMC reads, and takes its sizes.
        additive: Whether its logits are a sum of one function per modality, so that what only
            several modalities tell together cannot be learned.
        opt_in: Whether it runs only where it is named.
        search: What is searched of it.
        making: How its cost and abilities are measured; None where they are not.
        printed: Rows of published numbers that are about it.
        roles: Questions of ``ROLES`` that it is asked.
        ranked_as: Name under which ranks over data sets count it, where it is not its title.
    """

    title: str
    family: Family
    build: Callable[..., Any]
    kind: str
    page: str
    trained: str = AS_A_WHOLE
    shade: float = 0.0
    requires: str = ANYTHING
    images: bool = False
    volumes: bool = False
    raw_images: bool = False
    tokens: bool = False
    additive: bool = False
    opt_in: bool = False
    search: SearchSpace = SearchSpace()
    making: Making | None = None
    printed: tuple[Printed, ...] = ()
    roles: frozenset[str] = frozenset()
    ranked_as: str = ""

    @property
    def several(self) -> bool:
        """Whether it is a model under the contract of several modalities."""
        return self.kind in (MULTIMODAL, EITHER)

    @property
    def network(self) -> bool:
        """Whether it is a network of several modalities that is trained as a whole."""
        return self.several and self.trained == AS_A_WHOLE
