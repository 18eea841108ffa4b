"""How components add up, and what ties their parameters to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

from rosse.errors import OptionError, unknown_name
from rosse.light.components import Component


@dataclass(frozen=True, kw_only=True)
class Tie:
    """A parameter that follows another.

    Parameters
    ----------
    what, to : names of columns, e.g. ``"bulge_q"``, ``"disc_q"``.
    ratio : `what` is this times `to`.
    at_most : whether it may also be smaller.
    """

    what: str
    to: str
    ratio: float = 1.0
    at_most: bool = False


@final
@dataclass(frozen=True)
class Model:
    """A sum of components, which share their centre unless they say otherwise.

    Parameters
    ----------
    components : at least one; more than one need names.
    ties : parameters that follow others.
    """

    components: tuple[Component, ...]
    ties: tuple[Tie, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.components, tuple):
            raise OptionError(f"a model came of {self.components!r}; a tuple of components is wanted")
        for component in self.components:
            if not isinstance(component, Component):
                raise OptionError(no_model(component))
        names = [component.name for component in self.components]
        if not names:
            raise OptionError("a model needs at least one component")
        alone = len(self._galaxies) == 1  # beside a sky it needs no name
        if len(set(names)) < len(names) or ("" in names and not alone):
            raise OptionError(
                f"components that add up need names of their own, e.g. Sersic('bulge'); these came: {names}"
            )

    def __add__(self, other: Component | Model) -> Model:
        if isinstance(other, Model):
            return Model(self.components + other.components, self.ties + other.ties)
        return Model((*self.components, other), self.ties)

    def tie(self, what: str, to: str, *, ratio: float = 1.0) -> Model:
        """The same model with one parameter equal to `ratio` times another, e.g. ``tie("bulge_pa", "disc_pa")``."""
        return self._with(Tie(what=what, to=to, ratio=ratio))

    def at_most(self, what: str, to: str, *, ratio: float = 1.0) -> Model:
        """The same model with one parameter kept from exceeding `ratio` times another.

        ``at_most("bulge_r_e", "disc_r_e")``: the bulge is the smaller one.
        """
        return self._with(Tie(what=what, to=to, ratio=ratio, at_most=True))

    @property
    def _galaxies(self) -> list[Component]:
        """Components that have a flux: all but the sky."""
        return [component for component in self.components if component.slots[0].unit == "flux"]

    def prefix(self, component: Component) -> str:
        """Prefix of a component's columns, ``"bulge_"``; nothing for the only component, or one without a name."""
        return f"{component.name}_" if component.name and len(self.components) > 1 else ""

    def place(self, name: str) -> tuple[int, int]:
        """Which slot of which component a column is."""
        known = {
            self.prefix(component) + slot.name: (i, j)
            for i, component in enumerate(self.components)
            for j, slot in enumerate(component.slots)
        }
        if name not in known:
            raise OptionError(unknown_name("parameter", name, known))
        return known[name]

    def _with(self, tie: Tie) -> Model:
        slots = []
        for name in (tie.what, tie.to):
            i, j = self.place(name)
            slots.append(self.components[i].slots[j])
        if slots[0].log != slots[1].log or slots[0].unit != slots[1].unit:
            raise OptionError(f"{tie.what} cannot follow {tie.to}: they are not of one kind")
        if tie.ratio != 1.0 and not slots[0].log:
            raise OptionError(f"{tie.what} can be equal to {tie.to}, but not a multiple of it")
        if tie.what == tie.to or any({tie.to, tie.what} & {other.what} or tie.what == other.to for other in self.ties):
            raise OptionError(f"{tie.what} follows {tie.to}, and one of them follows already; tie both to the same one")
        return replace(self, ties=(*self.ties, tie))


def as_model(model: Component | Model) -> Model:
    """A model of one component, or the model itself.

    Raises
    ------
    OptionError
        What came is neither; the message says how to write it.
    """
    return model if isinstance(model, Model) else Model((model,))


def no_model(came: object) -> str:
    """Text for what came where a component or a model is wanted."""
    if isinstance(came, type) and issubclass(came, Component):
        return f"the class {came.__name__} came for a model; call it: {came.__name__}()"
    if isinstance(came, str):
        return f"{came!r} came for a model; a component is wanted, e.g. Sersic(), or a sum of them"
    if isinstance(came, (list, tuple, Mapping)):
        return (
            f"a {type(came).__name__} came for a model; to compare several use choose_model(cutouts, [...]), "
            "to fit a sum write Sersic('bulge') + Exponential('disc')"
        )
    return f"{came!r} came for a model; a component is wanted, e.g. Sersic(), or a sum of them"
