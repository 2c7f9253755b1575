"""Pure: the sets of name and value pairs of the CIB, in the order in which Pacemaker takes them.

The set with the highest score counts first; of two with the same score the later one, as Pacemaker
2.1 and 3.0 have it. A set may have a rule, and a set or a pair may stand for another by its id.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from .incident import HISTORY_MARK
from .rules import About, Rule, holds, read_rule
from .values import score

FIRST_SET = "cib-bootstrap-options"   # the set of properties that counts before every other
DEFAULT = "#default"       # a value that takes those away that were found before it


class Described(NamedTuple):
    """A set by its id: whether a rule says when it counts, and the names in it."""

    id: str
    ruled: bool
    names: frozenset[str]


class Given:
    """Values by name. `unsure` are names that a set with a rule may give that cannot be evaluated."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.unsure: set[str] = set()

    def add(self, other: Given) -> None:
        """Take from another what is not here."""
        self.unsure |= {name for name in other.unsure if name not in self.values}
        for name, value in other.values.items():
            self.values.setdefault(name, value)


class Sets:
    """Reads the sets of a CIB (the root element)."""

    def __init__(self, root: Any) -> None:
        self._by_id = {one.get("id"): one for one in root.iter() if isinstance(one.tag, str) and one.get("id")}

    def meant(self, element: Any) -> Any:
        """Return the element that this one stands for by its id-ref, else itself."""
        other = self._by_id.get(element.get("id-ref")) if element.get("id-ref") else None
        return other if other is not None and other.tag == element.tag else element

    def rule(self, element: Any) -> Rule:
        return read_rule(self.meant(element))

    def read(self, parents: Iterable[Any], kind: str, about: About, found: Given | None = None) -> Given:
        """Return what the sets of a kind within some elements give together, after what was found before."""
        sets = [self.meant(one) for parent in parents for one in parent.iterfind(kind)]
        return self._read(sets, about, Given() if found is None else found)

    def described(self, parents: Iterable[Any], kind: str) -> tuple[Described, ...]:
        """Return what sets of a kind there are within some elements."""
        return tuple(Described(one.get("id") or "", one.find("rule") is not None,
                               frozenset(name for name, _ in self.pairs(one)))
                     for parent in parents for one in parent.iterfind(kind))

    def properties(self, parents: Iterable[Any]) -> Given:
        """Return the cluster's properties, of which one set counts before all others."""
        sets = [one for parent in parents for one in parent.iterfind("cluster_property_set")]
        found = self._read([one for one in sets if one.get("id") == FIRST_SET], About(), Given())
        found = self._read([one for one in sets if one.get("id") != FIRST_SET], About(), found)
        for name in [name for name in found.values if name.startswith(HISTORY_MARK)]:
            del found.values[name]     # our own words, in a set into which pcs may write a property
        return found

    def _read(self, sets: Sequence[Any], about: About, found: Given) -> Given:
        for one in sorted(reversed(sets), key=lambda one: -score(one.get("score"))):
            self._take(one, found, self._applies(one, about))
        return found

    def _applies(self, element: Any, about: About) -> bool | None:
        answers = [holds(self.rule(rule), about) for rule in element.iterfind("rule")]
        if not answers or True in answers:
            return True
        return None if None in answers else False

    def _take(self, element: Any, found: Given, applies: bool | None) -> None:
        for name, value in self.pairs(element) if applies is not False else ():
            if applies is None:
                found.unsure |= {name} - set(found.values)
            elif value.lower() == DEFAULT:
                found.values.pop(name, None)
            else:
                found.values.setdefault(name, value)

    def pairs(self, element: Any) -> Iterator[tuple[str, str]]:
        """Yield the pairs of one set."""
        for pair in element.iterfind("nvpair"):
            other = self.meant(pair)
            name, value = (pair.get(one) if pair.get(one) is not None else other.get(one) for one in ("name", "value"))
            if name is not None and value is not None:
                yield name, value
