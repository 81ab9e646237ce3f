"""Turn the errors of a schema into one line that names file, field and remedy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from mmlego.data.cards.suggest import did_you_mean
from mmlego.errors import CardError


def card_error(path: Path, error: ValidationError, model: type[BaseModel]) -> CardError:
    """Return one CardError for the first problem of a card, with the number of further ones."""
    # a misspelled field is also a missing one; the misspelling is the problem to name
    problems = sorted(error.errors(), key=lambda p: p["type"] != "extra_forbidden")
    first = problems[0]
    where = ".".join(str(part) for part in first["loc"])
    field = f"field '{where}'" if where else "card"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return CardError(f"{path}: {field}: {_describe(first, model)}{more}")


def _describe(problem: Any, model: type[BaseModel]) -> str:
    kind, given = problem["type"], problem["input"]
    if kind == "literal_error":
        allowed = re.findall(r"'([^']*)'", problem["ctx"]["expected"])
        remedy = did_you_mean(given, allowed) or "; choose one of them"
        return f"expected one of {', '.join(allowed)}, got '{given}'{remedy}"
    if kind == "extra_forbidden":
        known = _fields_at(model, problem["loc"][:-1])
        remedy = did_you_mean(problem["loc"][-1], known) or "; remove it"
        return f"expected one of the fields {', '.join(known)}, got '{problem['loc'][-1]}'{remedy}"
    if kind == "missing":
        return "expected a value, got nothing; add the field"
    if kind == "value_error":
        return problem["msg"].removeprefix("Value error, ")
    return f"{problem['msg'][0].lower()}{problem['msg'][1:]}, got {given!r}; correct the value"


def _fields_at(model: type[BaseModel], loc: tuple[Any, ...]) -> list[str]:
    """Return the field names of the part of the card that ``loc`` leads to."""
    current: Any = model
    for part in loc:
        fields = getattr(current, "model_fields", {})
        if part in fields:
            current = _model_in(fields[part].annotation)
        # otherwise ``part`` is a free key of a mapping, whose values are the model already found
    return list(getattr(current, "model_fields", {}))


def _model_in(annotation: Any) -> Any:
    """Return the model class inside ``Model | None``, ``dict[str, Model]`` and the like."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = [_model_in(inner) for inner in get_args(annotation)]
    return next((f for f in found if f is not None), None)
