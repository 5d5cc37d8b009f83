"""The spectrum of weight changes: of how high a rank they are, and whether two runs moved in the same directions.

The change of a matrix is D = tuned - base, its singular values s_1 >= s_2 >= ... The stable rank ||D||_F^2 / s_1^2
(Rudelson & Vershynin 2007) never exceeds the rank and does not jump with noise; the energy in the top k directions is
(s_1^2 + ... + s_k^2) / ||D||_F^2. Two changes agree by ||U_1' U_2||_F^2 / k, the mean squared cosine of the principal
angles between their top k left singular vectors: 1 for the same subspace, k / rows for random ones.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from sftlab.errors import ModelError
from sftlab.lm.parameters import depth_of, layer_of, num_layers, part_of
from sftlab.lm.weights import ADAPTER_CONFIG, is_adapter, open_weights
from sftlab.measure.named_weights import NamedWeights, checkpoint_weights, plain_name

if TYPE_CHECKING:
    from torch import Tensor

DIRECTIONS = 16
EXACT_UP_TO = 512
"""Of matrices whose shorter side is no longer all singular values are computed; of larger ones the top ones."""
OVERSAMPLING, ITERATIONS = 16, 6
ENERGIES = (1, 4, 16)
SPECTRA: dict[str, type[pl.DataType]] = {
    "tensor": pl.String,
    "layer": pl.Int64,
    "depth": pl.Float64,
    "part": pl.String,
    "rows": pl.Int64,
    "columns": pl.Int64,
    "change_norm": pl.Float64,
    "stable_rank": pl.Float64,
    **{f"energy_{count}": pl.Float64 for count in ENERGIES},
    "directions": pl.Int64,
    "agreement": pl.Float64,
    "agreement_by_chance": pl.Float64,
}


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Top singular values of a change, its squared Frobenius norm, and its top left singular vectors (rows x k)."""

    values: "Tensor"
    squared_norm: float
    vectors: "Tensor"

    @property
    def stable_rank(self) -> float | None:
        """Squared norm over the largest squared singular value; None where nothing changed."""
        largest = float(self.values[0]) ** 2 if len(self.values) else 0.0
        return self.squared_norm / largest if largest > 0 else None

    def energy(self, count: int) -> float | None:
        """Share of the squared norm in the top directions; None where nothing changed."""
        if self.squared_norm <= 0:
            return None
        return min(1.0, float((self.values[:count].double() ** 2).sum()) / self.squared_norm)


def spectrum_of(change: "Tensor", directions: int = DIRECTIONS) -> Spectrum:
    """Spectrum of a matrix: exact where its shorter side is at most 512, else by randomised subspace iteration.

    The iteration (Halko, Martinsson & Tropp 2011, six power iterations with 16 more vectors than asked) gives the top
    singular values of changes as training makes them to about 1e-3; what it misses makes energies smaller.
    """
    import torch

    change = change.float()
    squared_norm = float(torch.linalg.vector_norm(change, dtype=torch.float64) ** 2)
    if min(change.shape) <= EXACT_UP_TO:
        u, s, _ = torch.linalg.svd(change, full_matrices=False)
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            u, s, _ = torch.svd_lowrank(change, q=min(directions + OVERSAMPLING, *change.shape), niter=ITERATIONS)
    return Spectrum(s[:directions], squared_norm, u[:, :directions])


def spectrum_of_factors(b: "Tensor", a: "Tensor", scale: float, directions: int = DIRECTIONS) -> Spectrum:
    """Spectrum of scale B A, exactly, from two thin QR factorisations: the product is never made."""
    import torch

    q_b, r_b = torch.linalg.qr(b.double())
    _, r_a = torch.linalg.qr(a.double().T)
    u, s, _ = torch.linalg.svd(scale * r_b @ r_a.T, full_matrices=False)
    return Spectrum(s[:directions], float((s**2).sum()), (q_b @ u)[:, :directions])


def agreement(one: Spectrum, other: Spectrum) -> float | None:
    """Mean squared cosine of the principal angles between the two top subspaces; None where either changed nothing.

    Directions without any change (of a run of lower rank) do not count: the smaller number of both is compared.
    """
    import torch

    count = min(_moved(one), _moved(other))
    if count == 0:
        return None
    overlap = one.vectors[:, :count].double().T @ other.vectors[:, :count].double()
    return float(torch.linalg.matrix_norm(overlap) ** 2) / count


def _moved(spectrum: Spectrum) -> int:
    if len(spectrum.values) == 0:
        return 0
    return int((spectrum.values > 1e-6 * float(spectrum.values[0])).sum()) if float(spectrum.values[0]) > 0 else 0


Changes = Mapping[str, Callable[[], Spectrum]]
"""By plain name, how to have the spectrum of each matrix that both sides hold."""


def change_spectra(
    base: Path, tuned: Path, *, against: Path | None = None, on_tensor: Callable[[int], None] = lambda _: None
) -> pl.DataFrame:
    """Spectra of all matrices of a checkpoint's change; with `against`, how far another one's went the same way.

    One row a matrix that both hold in one shape, with the columns of `SPECTRA`; embeddings and heads among them. One
    matrix is in memory at a time. `on_tensor` is told the base's bytes of each. Raises ModelError where a side cannot
    be read or the two have nothing in common.
    """
    held = checkpoint_weights(base)
    changes = _changes(held, tuned)
    others = _changes(held, against) if against is not None else {}
    layers = num_layers(held.raw.values())
    rows = []
    for name, spectrum_now in changes.items():
        weight = held[name]
        on_tensor(weight.nbytes)
        spectrum = spectrum_now()
        other = others[name]() if name in others else None
        count = min(_moved(spectrum), _moved(other)) if other is not None else len(spectrum.values)
        rows.append(
            {
                **spectrum_columns(name, spectrum, tuple(weight.shape), layers=layers),
                "tensor": held.raw[name],
                "directions": count,
                "agreement": None if other is None else agreement(spectrum, other),
                "agreement_by_chance": None if other is None or count == 0 else min(1.0, count / weight.shape[0]),
            }
        )
    return pl.DataFrame(rows, schema=SPECTRA, orient="row")


def spectrum_columns(name: str, spectrum: Spectrum, shape: tuple[int, ...], *, layers: int) -> dict[str, object]:
    """What a spectrum says of one tensor's change, as columns of `SPECTRA`; `layers` is how many the model has."""
    layer = layer_of(name)
    return {
        "tensor": name,
        "layer": layer,
        "depth": None if layer is None else depth_of(layer, layers),
        "part": part_of(name),
        "rows": shape[0],
        "columns": shape[1],
        "change_norm": math.sqrt(spectrum.squared_norm),
        "stable_rank": spectrum.stable_rank,
        **{f"energy_{count}": spectrum.energy(count) for count in ENERGIES},
    }


def _changes(base: NamedWeights, tuned: Path) -> Changes:
    if is_adapter(tuned):
        return _adapter_changes(base, tuned)
    other = checkpoint_weights(tuned)
    shared = [name for name in base.raw if name in other.raw and base.shape(name) == other.shape(name)]
    if not shared:
        raise ModelError(f"{tuned} has no tensor in common with the base: they are not of one architecture")
    return {name: _difference(base, other, name) for name in shared if len(base.shape(name)) == 2}


def _difference(base: NamedWeights, other: NamedWeights, name: str) -> Callable[[], Spectrum]:
    return lambda: spectrum_of(other[name].float() - base[name].float())


def _adapter_changes(base: NamedWeights, folder: Path) -> Changes:
    config = json.loads((folder / ADAPTER_CONFIG).read_text())
    tensors = open_weights(folder)
    found: dict[str, Callable[[], Spectrum]] = {}
    for key in tensors:
        if key.endswith(".lora_A.weight"):
            name = f"{plain_name(key.removesuffix('.lora_A.weight'))}.weight"
            if name not in base.raw:
                raise ModelError(f"the adapter in {folder} changes {name}, which the base's files do not have")
            found[name] = _product(tensors, key, config)
    return {name: found[name] for name in base.raw if name in found}


def _product(tensors: Mapping[str, "Tensor"], key: str, config: Mapping[str, object]) -> Callable[[], Spectrum]:
    def spectrum() -> Spectrum:
        a, b = tensors[key], tensors[key.replace(".lora_A.", ".lora_B.")]
        root = math.sqrt(a.shape[0]) if config.get("use_rslora") else a.shape[0]
        return spectrum_of_factors(b, a, float(str(config["lora_alpha"])) / root)

    return spectrum
