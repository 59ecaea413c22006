# The part of h5py that panda_ophyd relies on, and no more.

from collections.abc import ItemsView, Iterator
from os import PathLike
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

h5a: Any
h5d: Any
h5g: Any
h5p: Any
h5s: Any
h5t: Any
h5z: Any

class AttributeManager:
    def __getitem__(self, name: str) -> Any: ...
    def __setitem__(self, name: str, value: object) -> None: ...
    def __contains__(self, name: str) -> bool: ...
    def get(self, name: str, default: Any = ...) -> Any: ...
    def items(self) -> ItemsView[str, Any]: ...
    def modify(self, name: str, value: object) -> None: ...

class Dataset:
    attrs: AttributeManager
    compression: str | None
    chunks: tuple[int, ...]  # None if not chunked, but all of ours are
    dtype: np.dtype[Any]
    id: Any
    maxshape: tuple[int | None, ...]
    name: str
    shape: tuple[int, ...]
    def __getitem__(self, args: object) -> NDArray[Any]: ...
    def __setitem__(self, args: object, value: ArrayLike) -> None: ...
    def __len__(self) -> int: ...
    def flush(self) -> None: ...
    def refresh(self) -> None: ...
    def resize(self, size: tuple[int, ...]) -> None: ...

class Group:
    attrs: AttributeManager
    id: Any
    name: str
    def __init__(self, bind: Any) -> None: ...
    def __contains__(self, name: str) -> bool: ...
    def __delitem__(self, name: str) -> None: ...
    def __getitem__(self, name: str) -> Dataset: ...  # or a group, for which there is `get`
    def __iter__(self) -> Iterator[str]: ...
    def __len__(self) -> int: ...
    def __setitem__(self, name: str, value: object) -> None: ...
    def create_dataset(
        self,
        name: str,
        *,
        shape: tuple[int, ...] | None = ...,
        maxshape: tuple[int | None, ...] | None = ...,
        chunks: tuple[int, ...] | None = ...,
        dtype: DTypeLike = ...,
        data: ArrayLike = ...,
        compression: str | int | None = ...,
        compression_opts: object = ...,
        shuffle: bool | None = ...,
    ) -> Dataset: ...
    def create_group(self, name: str) -> Group: ...
    def get(self, name: str) -> Dataset | Group | None: ...
    def items(self) -> ItemsView[str, Dataset | Group]: ...

class File(Group):
    swmr_mode: bool
    def __init__(
        self,
        name: str | PathLike[str],
        mode: Literal["r", "r+", "w"] = ...,
        *,
        libver: Literal["latest"] | None = ...,
        locking: bool | Literal["best-effort"] | None = ...,
        swmr: bool = ...,
        alignment_threshold: int = ...,
        alignment_interval: int = ...,
    ) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
    def close(self) -> None: ...
    def flush(self) -> None: ...

def string_dtype(encoding: str, length: int) -> np.dtype[np.bytes_]: ...
