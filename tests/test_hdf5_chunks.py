"""Rows in, the same rows out, whatever way they took into the file."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panda_ophyd.writers import Dataset, FileOptions, Hdf5Writer
from panda_ophyd.writers.hdf5_chunks import GrowingDataset

CHUNK = 8


def made(path, dtype="<f8", **options):
    file = h5py.File(path, "w", libver="latest")
    dataset = file.create_dataset(
        "x", shape=(0,), maxshape=(None,), chunks=(CHUNK,), dtype=dtype, **options
    )
    file.swmr_mode = True
    return file, GrowingDataset(dataset)


@pytest.fixture
def direct():
    """Rows of the chunks that went past the library's cache."""
    rows = []

    class Spy:
        def __init__(self, of):
            self.of = of

        def set_extent(self, shape):
            self.of.set_extent(shape)

        def write_direct_chunk(self, offset, data):
            rows.append(offset[0])
            self.of.write_direct_chunk(offset, data)

    def spy(growing):
        growing._id = Spy(growing._id)
        return growing

    return rows, spy


@given(st.lists(st.integers(0, 4 * CHUNK), max_size=8), st.sampled_from(["<f8", "<u4", "?", ">i8"]))
def test_rows_come_back_whatever_the_batches(tmp_path_factory, lengths, dtype):
    path = tmp_path_factory.mktemp("rows") / "x.h5"
    file, growing = made(path, dtype)
    rows = 0
    source = np.arange(1, 400).astype(np.dtype(dtype).newbyteorder("="))
    with file:
        for length in lengths:
            growing.put(rows, source[rows : rows + length])
            rows += length
            file.flush()
            with h5py.File(path, swmr=True) as seen:
                np.testing.assert_array_equal(seen["x"][:], source[:rows])
    with h5py.File(path) as seen:
        np.testing.assert_array_equal(seen["x"][:], source[:rows])


def test_whole_chunks_go_past_the_cache_and_the_rest_through_it(tmp_path, direct):
    rows, spy = direct
    file, growing = made(tmp_path / "x.h5")
    with file:
        spy(growing).put(0, np.arange(3.0))
        assert rows == []
        growing.put(3, np.arange(3.0, 3 * CHUNK + 2))
        assert rows == [CHUNK, 2 * CHUNK]
        np.testing.assert_array_equal(file["x"][:], np.arange(3 * CHUNK + 2))


@pytest.mark.parametrize("options", [{"compression": "gzip"}, {"shuffle": True}, {"dtype": "<f4"}])
def test_what_is_stored_otherwise_takes_the_ordinary_way(tmp_path, direct, options):
    rows, spy = direct
    file, growing = made(tmp_path / "x.h5", **options)
    with file:
        spy(growing).put(0, np.arange(4.0 * CHUNK))
        assert rows == []
        np.testing.assert_array_equal(file["x"][:], np.arange(4 * CHUNK))


def test_rows_that_are_cut_away_are_gone_and_can_be_put_again(tmp_path):
    file, growing = made(tmp_path / "x.h5")
    with file:
        growing.put(0, np.arange(2.5 * CHUNK))
        growing.cut(CHUNK + 1)
        assert file["x"].shape == (CHUNK + 1,)
        growing.put(CHUNK + 1, -np.arange(2.0 * CHUNK))
        expected = [*np.arange(CHUNK + 1.0), *-np.arange(2.0 * CHUNK)]
        np.testing.assert_array_equal(file["x"][:], expected)


def test_the_room_needed_is_that_of_the_chunks(tmp_path):
    file, growing = made(tmp_path / "x.h5")
    with file:
        assert growing.room_needed(0, 0) == 0
        assert growing.room_needed(0, 1) == CHUNK * 8
        assert growing.room_needed(CHUNK, CHUNK) == CHUNK * 8
        # the chunk begun may not be on the disk yet
        assert growing.room_needed(1, CHUNK) == 2 * CHUNK * 8


def places(path, rows, options):
    """Write a column of float64 and one of uint32; return where the chunks of the first begin."""
    writer = Hdf5Writer(options)
    writer.create(path)
    kinds = {"x": np.dtype(np.float64), "bits": np.dtype(np.uint32)}
    writer.open([Dataset(name, kind, options.chunk, {}) for name, kind in kinds.items()], {})
    noise = np.random.default_rng(1).integers(0, 2**32, rows)
    for start in range(0, rows, options.chunk):
        part = noise[start : start + options.chunk]
        writer.append({name: part.astype(kind) for name, kind in kinds.items()})
        writer.flush()
    writer.close()
    with h5py.File(path) as file:
        assert file["x"][:].tolist() == noise.tolist()
        chunks = file["x"].id
        return [chunks.get_chunk_info(n).byte_offset for n in range(chunks.get_num_chunks())]


@pytest.mark.parametrize(
    ("chunk", "compression", "boundary"),
    [(8192, "", 65536), (16384, "", 65536), (10000, "", 4096), (16384, "gzip:1", 4096)],
)
def test_large_chunks_begin_at_pages_and_whole_ones_at_blocks_of_pages(
    tmp_path, chunk, compression, boundary
):
    path = tmp_path / "x.h5"
    options = FileOptions(chunk=chunk, compression=compression)
    begins = places(path, 40 * chunk, options)
    assert len(begins) == 40
    assert [begin % boundary for begin in begins] == [0] * 40
    if boundary == 4096:  # blocks would leave gaps
        assert any(begin % 65536 for begin in begins)
    # What lies between chunks is little, whatever their size
    assert path.stat().st_size < 40 * chunk * 12 * 1.2


def test_a_file_keeps_no_more_of_a_dataset_than_the_chunk_under_way(tmp_path):
    writer = Hdf5Writer(FileOptions(chunk=1024))
    writer.create(tmp_path / "scan.h5")
    datasets = [
        Dataset(name, np.dtype(kind), 1024, {}) for name, kind in (("x", "<f8"), ("y", "<i4"))
    ]
    writer.open(datasets, {})
    kept = {
        name: growing.dataset.id.get_access_plist().get_chunk_cache()[1]
        for name, growing in writer._datasets.items()
    }
    writer.close()
    assert kept == {"x": 2 * 1024 * 8, "y": 2 * 1024 * 4}
