"""Spectra of what training changed, matrix by matrix, of a model in memory (version 1 of `weight_spectrum`).

See `change_spectrum` for what stable rank and energies are; `sftlab diff --spectrum` is the same of two folders.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import polars as pl

from sftlab.lm.parameters import num_layers
from sftlab.measure.change_spectrum import SPECTRA, Spectrum, spectrum_columns, spectrum_of, spectrum_of_factors

if TYPE_CHECKING:
    from sftlab.lm.base import LoadedBase

COLUMNS = [name for name in SPECTRA if name not in {"directions", "agreement", "agreement_by_chance"}]
"""Of `SPECTRA`, what is known of a single change."""


def loaded_weight_spectrum(loaded: "LoadedBase") -> pl.DataFrame:
    """One row a matrix that training could change, with `COLUMNS`: of what a base holds now against its untouched copy.

    Of an adapter that is attached from its factors, without making their product, and without embeddings that it trains
    beside them; one that was merged counts as what it added.
    Stable rank and energies are null where nothing changed. One change is in memory at a time.
    """
    layers = num_layers(loaded.weights())
    rows = [spectrum_columns(name, spectrum, shape, layers=layers) for name, shape, spectrum in _spectra(loaded)]
    return pl.DataFrame(rows, schema={name: SPECTRA[name] for name in COLUMNS}, orient="row")


def _spectra(loaded: "LoadedBase") -> Iterator[tuple[str, tuple[int, ...], Spectrum]]:
    if loaded.adapter is not None:
        for name, layer in loaded.adapter.layers.items():
            b, a = layer.b.detach(), layer.a.detach()
            yield f"{name}.weight", (b.shape[0], a.shape[1]), spectrum_of_factors(b, a, layer.scale)
        return
    for name, weight in {**loaded.weights(), **loaded.masters}.items():
        if weight.ndim == 2:
            base = loaded.pristine[name].to(weight.device)
            yield name, tuple(weight.shape), spectrum_of(weight.detach().float() - base.float())
