"""Validated reading of all files: each kind is checked against its types, in this module only.

A file may be damaged, truncated, edited by hand or written by another program. Any problem
raises Unreadable with the file and the field; no other code needs to check what it read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from annotated_types import Ge, Le

from runner.contract import Unreadable
from runner.records.printable import printable, shortened

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, TypeAdapter
    from pydantic_core import CoreSchema

T = TypeVar("T")
LARGEST = 1e15  # of any time or figure; 30,000 years in milliseconds
LARGEST_INT = 2**64  # the largest seed
MAX_VALUE_LENGTH = 60  # characters of a wrong value that are shown

Number = Annotated[float, Ge(-LARGEST), Le(LARGEST)]
NotNegative = Annotated[float, Ge(0), Le(LARGEST)]
Index = Annotated[int, Ge(0), Le(LARGEST_INT)]


class Of:
    """Annotates a dictionary or text that is read as a `kind`, such as a TypedDict."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind

    def __get_pydantic_core_schema__(
        self, _source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return handler.generate_schema(self._kind)


class _Matching:
    """Annotates a text that matches a pattern and passes `check` without a ValueError."""

    def __init__(self, pattern: str, check: Callable[[str], object] = str) -> None:
        self._pattern, self._check = pattern, check

    def __get_pydantic_core_schema__(
        self, _source: Any, _handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        from pydantic_core import core_schema

        text = core_schema.str_schema(pattern=self._pattern)
        return core_schema.no_info_after_validator_function(self._checked, text)

    def _checked(self, text: str) -> str:
        self._check(text)
        return text


ZONED = r"^(19[7-9]|2\d\d)\d-.*([+-]\d\d:?\d\d|Z)$"  # years whose seconds are above 0
PLAIN = r"^[\w-][\w.-]{0,199}$"
EXPECTED = {ZONED: "a date with time and zone", PLAIN: "a name without a path"}
Moment = Annotated[str, _Matching(ZONED, datetime.fromisoformat)]
FileName = Annotated[str, _Matching(PLAIN)]


def read_bytes(path: Path) -> bytes:
    """The bytes of a file. Raises Unreadable."""
    try:
        if path.exists() and not path.is_file():
            raise Unreadable(
                f"{path} can't be read: it is not a regular file"
            )  # a pipe would never end
        return path.read_bytes()
    except OSError as error:
        raise Unreadable(f"{path} can't be read: {error}") from error


def read_values(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises Unreadable."""
    values = parsed(read_bytes(path), str(path))
    if not isinstance(values, dict):
        raise unfit(str(path), "it", values, "a JSON object")
    return values


def of_version(values: Mapping[str, Any], version: int, path: Path) -> None:
    """Raise Unreadable for a file of another version."""
    if (found := values.get("version")) != version:
        raise unfit(str(path), "version", found, str(version))


def unfit(where: object, field: str, value: object, expected: str) -> Unreadable:
    """The error for a field with a wrong value."""
    try:
        shown = repr(value)
    except ValueError:  # an integer of more digits than Python writes out
        shown = "a number of thousands of digits"
    return Unreadable(
        f"{where}: {field} is {shortened(printable(shown), MAX_VALUE_LENGTH)}; expected {expected}"
    )


def parsed(text: bytes | str, where: str) -> Any:
    """The JSON values in a text: finite numbers, printable strings, at most 200 levels deep.

    Raises Unreadable.
    """
    from pydantic_core import from_json

    try:
        values = from_json(text, allow_inf_nan=False, cache_strings="keys")
    except ValueError as error:
        raise Unreadable(f"{where} can't be read: {error}") from error
    return _cleaned(values, where, "")


def checked(values: Any, kind: type[T], where: str, *, strict: bool = True) -> T:
    """JSON values validated as a `kind`: a dataclass, or a list or union of dataclasses.

    Without `strict`, texts are converted to numbers, because MLflow's tags are texts.
    Raises Unreadable with the first field that does not fit its type.
    """
    from pydantic import ValidationError
    from pydantic_core import to_json

    adapter: TypeAdapter[T] = _adapter(kind)  # type: ignore[arg-type]  # types can be hashed
    try:
        if strict:  # an enum or a tuple is written as a text or a list, which only JSON may be
            return adapter.validate_json(to_json(values), strict=True)
        return adapter.validate_python(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "it"
        if first["type"] == "missing":
            raise Unreadable(f"{where} lacks {field}") from error
        if first["type"] == "unexpected_keyword_argument":
            raise Unreadable(f"{where}: {field} is unknown to this version of runner") from error
        expected = first["msg"].removeprefix("Input should be ")
        expected = EXPECTED.get(first.get("ctx", {}).get("pattern", ""), expected)
        raise unfit(where, field, first["input"], expected) from error


@lru_cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def schema_of(kind: Any) -> dict[str, Any]:
    """The JSON Schema of a `kind`, as `checked` validates it."""
    return _adapter(kind).json_schema()


def _cleaned(values: Any, where: str, field: str) -> Any:
    """The values with control characters escaped. Raises Unreadable for a number too large."""
    if isinstance(values, str):
        return printable(values)
    if isinstance(values, list):
        if all(type(value) is float and -LARGEST <= value <= LARGEST for value in values):
            return values
        return [_cleaned(value, where, f"{field}.{n}") for n, value in enumerate(values)]
    if isinstance(values, dict):
        return {
            printable(name): _cleaned(value, where, f"{field}.{name}")
            for name, value in values.items()
        }
    if type(values) in (int, float):
        limit = LARGEST if isinstance(values, float) else LARGEST_INT
        if not -limit <= values <= limit:
            expected = f"at most {limit:.0e}"
            raise unfit(where, field.removeprefix("."), values, expected)
    return values
