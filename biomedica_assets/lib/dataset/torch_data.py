"""A recipe as a torch dataset. Apart from ``recipe.py``, so that the reader alone needs no torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch.distributed  # noqa: TID253 - this module is imported where torch is wanted, and nowhere else
from torch.utils.data import IterableDataset, get_worker_info  # noqa: TID253 - likewise

if TYPE_CHECKING:
    from biomedica_assets.lib.dataset.recipe import RecipeData, Tokenize, Transform


class RecipeIterable(IterableDataset[tuple[Any, Any]]):
    """(image, text) of an epoch, shared by the workers of a loader and the processes of a group."""

    def __init__(self, recipe: RecipeData, transform: Transform | None, tokenize: Tokenize | None, split: str) -> None:
        """Args: recipe, split: what is read; transform, tokenize: applied to pictures and texts."""
        self._recipe, self._transform, self._tokenize, self._split = recipe, transform, tokenize, split
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """The epoch that the next iteration reads: it gives the order."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        """This reader's share of the epoch."""
        worker = get_worker_info()
        of_group = torch.distributed.is_available() and torch.distributed.is_initialized()
        rank, world = (torch.distributed.get_rank(), torch.distributed.get_world_size()) if of_group else (0, 1)
        workers, number = (worker.num_workers, worker.id) if worker else (1, 0)
        samples = self._recipe.samples(
            self._split, epoch=self._epoch, reader=rank * workers + number, readers=world * workers
        )
        for sample in samples:
            image = self._transform(sample.image) if self._transform else sample.image
            yield image, self._tokenize(sample.text) if self._tokenize else sample.text
