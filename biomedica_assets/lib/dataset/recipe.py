"""One recipe as streams: for torch, webdataset, Hugging Face's datasets, or a plain loop.

Every stream reads the physical shards by ranges, in an order given by recipe, epoch and number of readers, and decodes
pictures as all stages see them (``lib.images.canonical``).
"""

from __future__ import annotations

import importlib
import io
import json
import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

if TYPE_CHECKING:
    from PIL import Image

    from biomedica_assets.lib.stream.index import Index

Transform = Callable[["Image.Image"], Any]
Tokenize = Callable[[str], Any]


class Sample(NamedTuple):
    """One sample: its key, the RGB picture, the caption in its reading form, and the record with everything else."""

    key: str
    image: Image.Image
    text: str
    record: dict[str, Any]


class RecipeData:
    """The samples that a recipe selects."""

    def __init__(
        self, place: Path | str, name: str, index: Path, *, given: str | None = None, token: str | None = None
    ) -> None:
        """Open its index.

        Args:
            place: folder or address below which the shards lie.
            name: of the recipe.
            index: file of its index, on this machine.
            given: the place as a person wrote it, for commands that are started; None for ``place``.
            token: bearer token.

        Raises:
            StreamError: the index cannot be read.
        """
        from biomedica_assets.lib.stream.index import Index

        self.name = name
        self._place, self._given, self._token = str(place), given or str(place), token
        self._path = index
        opened = Index(self._path)
        self.splits: dict[str, int] = {split: part.entries for split, part in opened.splits.items()}
        """Samples of an epoch of each split, repetitions counted."""
        opened.close()

    def __repr__(self) -> str:
        """Name and sizes."""
        sizes = ", ".join(f"{split} {n:,}" for split, n in self.splits.items())
        return f"<recipe {self.name}: {sizes}>"

    def samples(
        self, split: str = "train", *, epoch: int = 0, shuffle: bool = True, reader: int = 0, readers: int = 1
    ) -> Iterator[Sample]:
        """The samples of an epoch, one after the other.

        Args:
            split: which split.
            epoch: gives the order.
            shuffle: False takes the order of the shards.
            reader: number of this reader, from 0; together the readers see each sample once.
            readers: how many share the epoch.

        Raises:
            StreamError: the split does not exist, or a shard cannot be read.
        """
        from biomedica_assets.lib.images.canonical import open_canonical

        for key, members in self._members(split, epoch, shuffle, reader, readers):
            image = next(data for ext, data in members.items() if ext not in {"txt", "json"})
            yield Sample(key, open_canonical(image), members["txt"].decode(), json.loads(members["json"]))

    def urls(self, split: str = "train", *, epoch: int = 0, of: int | None = None) -> list[str]:
        """``pipe:`` addresses of the virtual shards of an epoch, for whatever reads WebDatasets.

        Args:
            split: which split.
            epoch: gives the order.
            of: into how many shards the epoch is cut; None takes the recipe's own number.
        """
        from biomedica_assets.lib.stream.urls import pipe_urls
        from biomedica_assets.lib.stream.virtual import Selection

        index = self._index()
        try:
            n = index.split(split).virtual_shards if of is None else of
        finally:
            index.close()
        return pipe_urls(self._path, self._given, Selection(split=split, epoch=epoch), n)

    def webdataset(self, split: str = "train", *, epoch: int = 0, of: int | None = None) -> Any:
        """A ``webdataset.WebDataset`` over ``urls``: samples of bytes by extension, to be decoded and batched."""
        webdataset: Any = importlib.import_module("webdataset")
        return webdataset.WebDataset(self.urls(split, epoch=epoch, of=of), shardshuffle=False, empty_check=False)

    def torch(self, transform: Transform | None = None, tokenize: Tokenize | None = None, split: str = "train") -> Any:
        """A ``torch.utils.data.IterableDataset`` of (image, text).

        Loader workers, and processes of a ``torch.distributed`` group, share an epoch; ``set_epoch`` gives the order of
        the next one.

        Args:
            transform: picture to what the model takes; None leaves it a ``PIL.Image``.
            tokenize: text to what the model takes; None leaves it a text.
            split: which split.
        """
        from biomedica_assets.lib.dataset.torch_data import RecipeIterable

        return RecipeIterable(self, transform, tokenize, split)

    def datasets(self, split: str = "train") -> Any:
        """A ``datasets.IterableDataset`` with ``key``, ``image`` (``Image``), ``text`` and ``record`` (JSON)."""
        import datasets  # pyright: ignore[reportMissingTypeStubs]  # it ships no types

        text: Any = datasets.Value("string")
        features = datasets.Features({"key": text, "image": datasets.Image(), "text": text, "record": text})
        found: Any = datasets.IterableDataset
        return found.from_generator(_rows, features=features, gen_kwargs={"recipe": self, "split": split})

    def _index(self) -> Index:
        from biomedica_assets.lib.stream.index import Index

        return Index(self._path)

    def _members(
        self, split: str, epoch: int, shuffle: bool, reader: int, readers: int
    ) -> Iterator[tuple[str, dict[str, bytes]]]:
        """Key and members by extension of each sample of a reader's share."""
        from biomedica_assets.lib.stream.index import AT_SOURCE
        from biomedica_assets.lib.stream.virtual import Pictures, Selection, chunks, open_source

        index = self._index()
        try:
            pictures = None
            if index.pictures == AT_SOURCE:
                from biomedica_assets.lib.dataset.pictures import open_bucket

                pictures = Pictures(open=open_bucket)
            wanted = Selection(split=split, shard=reader, of=readers, epoch=epoch, shuffle=shuffle)
            pieces = chunks(index, open_source(index, self._place, self._token, pictures), wanted)
            yield from _by_key(pieces)
        finally:
            index.close()


def _by_key(pieces: Iterable[bytes | memoryview]) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Members of a tar put together by the part of their names before the first dot."""
    key, members = "", dict[str, bytes]()
    with tarfile.open(fileobj=cast("Any", io.BufferedReader(_Raw(pieces), 1 << 20)), mode="r|") as tar:
        for member in tar:
            stem, _, extension = member.name.partition(".")
            if members and (stem != key or extension in members):
                yield key, members
                members = {}
            data = tar.extractfile(member)
            key, members[extension] = stem, data.read() if data else b""
    if members:
        yield key, members


class _Raw(io.RawIOBase):
    """Pieces of bytes as a file."""

    def __init__(self, pieces: Iterable[bytes | memoryview]) -> None:
        self._pieces = iter(pieces)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(bytes(piece))  # the stream's own buffer is filled again before this is used up
        n = min(len(buffer), len(self._rest))
        buffer[:n] = self._rest[:n]
        self._rest = self._rest[n:]
        return n


def _rows(recipe: RecipeData, split: str) -> Iterator[dict[str, Any]]:
    for sample in recipe.samples(split):
        record = json.dumps(sample.record, ensure_ascii=False)
        yield {"key": sample.key, "image": sample.image, "text": sample.text, "record": record}
