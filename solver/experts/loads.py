"""How many tokens each expert was sent, per layer, in one or several recorded workloads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from solver.errors import BadInput, UnknownName
from solver.experts.arrays import Bools, Float, Floats

#: Digits of a share that are kept.
_DIGITS = 11


@dataclass(frozen=True, eq=False)
class Loads:
    """Tokens by expert: ``values`` (profiles, layers, experts), any unit that is the same within a layer.

    A layer without a single token in any profile is a dense layer: it keeps its number and is left alone. Whoever
    knows which layers are dense passes ``dense_layers`` to :meth:`of`; any other empty layer is then an error.

    Attributes
    ----------
    values: tokens sent to each expert (profiles, layers, experts); finite, >= 0.
    names: one name for each profile.
    weights: importance of each profile; they sum to 1.

    >>> loads = Loads.of([[0, 0, 0, 0], [9, 1, 1, 1]])
    >>> loads.moe_layers, loads.dense_layers
    ((1,), (0,))
    >>> loads.shares().round(2).tolist()
    [[[0.75, 0.08, 0.08, 0.08]]]
    """

    values: Floats
    names: tuple[str, ...]
    weights: Floats

    @classmethod
    def of(
        cls,
        values: npt.ArrayLike,
        names: Sequence[str] | None = None,
        weights: Sequence[float] | None = None,
        dense_layers: Iterable[int] | None = None,
    ) -> Loads:
        """Check and wrap an array (layers, experts) or (profiles, layers, experts).

        Raises
        ------
        BadInput: not numbers, not of one length, negative, not finite, empty, or a layer without tokens where none
            is expected.
        """
        array = _three_axes(_numbers(values))
        names = tuple(names) if names is not None else tuple(f"profile {p}" for p in range(len(array)))
        if len(names) != len(array):
            raise BadInput(f"{len(names)} names were given for {len(array)} load profiles")
        if len(set(names)) != len(names):
            raise BadInput(f"load profiles need distinct names; got {', '.join(names)}")
        _refuse_bad_values(array, names)
        _refuse_empty_layers(array, names, dense_layers)
        array.setflags(write=False)
        return cls(array, names, _weights(weights, names))

    @classmethod
    def joined(cls, parts: Sequence[Loads], weights: Sequence[float] | None = None) -> Loads:
        """Profiles of several recordings of the same LLM as one object."""
        if not parts:
            raise BadInput("no load profile was given")
        first = parts[0]
        for part in parts[1:]:
            if part.values.shape[1:] != first.values.shape[1:]:
                raise BadInput(
                    f"load profiles must share one shape: {first.names[0]!r} has {_shape(first)}, "
                    f"{part.names[0]!r} has {_shape(part)}"
                )
        names = [name for part in parts for name in part.names]
        return cls.of(np.concatenate([part.values for part in parts]), names, weights)

    @property
    def profiles(self) -> int:
        """Number of profiles."""
        return int(self.values.shape[0])

    @property
    def layers(self) -> int:
        """Number of layers of the LLM, dense ones included."""
        return int(self.values.shape[1])

    @property
    def experts(self) -> int:
        """Number of routed experts in a layer."""
        return int(self.values.shape[2])

    @property
    def moe_layers(self) -> tuple[int, ...]:
        """Numbers of the layers that route tokens to experts."""
        return tuple(np.flatnonzero(self._busy()).tolist())

    @property
    def dense_layers(self) -> tuple[int, ...]:
        """Numbers of the layers without any tokens."""
        return tuple(np.flatnonzero(~self._busy()).tolist())

    def shares(self) -> Floats:
        """Share of a layer's tokens by expert (MoE layers, profiles, experts); the last axis sums to 1.

        Rounded, so that one recording in tokens, thousands or fractions is one recording to whatever breaks ties.
        """
        busy = self.values[:, self._busy()].transpose(1, 0, 2)
        return np.asarray(np.round(busy / busy.sum(axis=2, keepdims=True), _DIGITS))

    def mean_shares(self) -> Floats:
        """Weighted mean over profiles of :meth:`shares` (MoE layers, experts)."""
        return np.asarray(np.einsum("lpe,p->le", self.shares(), self.weights))

    def select(self, names: Sequence[str]) -> Loads:
        """The profiles of these names, in this order, with their weights scaled to sum to 1."""
        for name in names:
            if name not in self.names:
                raise UnknownName("load profile", name, self.names)
        at = [self.names.index(name) for name in names]
        if not at:
            raise BadInput("no load profile was selected")
        weights = self.weights[at]
        return Loads(self.values[at], tuple(names), weights / weights.sum())

    def without(self, name: str) -> Loads:
        """All profiles but one."""
        if name not in self.names:
            raise UnknownName("load profile", name, self.names)
        return self.select([other for other in self.names if other != name])

    def _busy(self) -> Bools:
        return np.asarray(self.values.any(axis=(0, 2)))


def _numbers(values: npt.ArrayLike) -> Floats:
    try:
        raw = np.asarray(values)
    except ValueError as ragged:
        raise BadInput("expert loads must be a table: every layer needs one number for each expert") from ragged
    if raw.dtype.kind not in "iuf":
        raise BadInput(f"expert loads must be numbers; found values of type {raw.dtype}")
    return raw.astype(Float)


def _three_axes(array: Floats) -> Floats:
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3:
        raise BadInput(f"expert loads need the axes (layers, experts) or (profiles, layers, experts); got {array.ndim}")
    if 0 in array.shape:
        raise BadInput(f"expert loads are empty: (profiles, layers, experts) = {array.shape}")
    return array


def _refuse_bad_values(array: Floats, names: tuple[str, ...]) -> None:
    for wrong, saying in ((~np.isfinite(array), "is not a finite number"), (array < 0, "is negative")):
        if wrong.any():
            profile, layer, expert = (int(axis) for axis in np.argwhere(wrong)[0])
            raise BadInput(
                f"{names[profile]}: layer {layer}, expert {expert} has load {array[profile, layer, expert]:g}, which "
                f"{saying}; loads are token counts >= 0"
            )


def _refuse_empty_layers(array: Floats, names: tuple[str, ...], dense: Iterable[int] | None) -> None:
    busy = array.any(axis=2)
    if not busy.any():
        raise BadInput(f"{', '.join(names)}: every expert load is zero, so there is nothing to balance")
    for profile, layer in np.argwhere(~busy & busy.any(axis=0)):
        raise BadInput(f"{names[profile]}: layer {layer} has no tokens, although other profiles have some there")
    if dense is None:
        return
    declared = set(dense)
    for layer in np.flatnonzero(~np.any(busy, axis=0)).tolist():
        if layer not in declared:
            raise BadInput(f"{', '.join(names)}: layer {layer} has no tokens, but it is not among the dense layers")


def _weights(weights: Sequence[float] | None, names: tuple[str, ...]) -> Floats:
    given = np.asarray([1.0] * len(names) if weights is None else weights, Float)
    if given.shape != (len(names),):
        raise BadInput(f"{given.size} weights were given for {len(names)} load profiles")
    if not np.isfinite(given).all() or (given < 0).any() or given.sum() <= 0:
        raise BadInput("weights of load profiles must be >= 0, finite and not all zero")
    return np.asarray(given / given.sum())


def _shape(loads: Loads) -> str:
    return f"{loads.layers} layers x {loads.experts} experts"
