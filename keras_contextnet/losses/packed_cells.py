"""The lattice cells that matter, in blocks whose logits fit in the cache."""

from typing import Any

from keras import ops

from keras_contextnet.backend import on_accelerator, uses_tensorflow_kernels

# Logits of a block: 8 MB of float32, which stay in a processor's cache.
BLOCK_ENTRIES = 2**21
# 256 MB: an accelerator needs large products to be busy.
ACCELERATOR_BLOCK_ENTRIES = 2**26


class PackedCells:
    """The selected cells of a lattice, one after the other, cut into blocks of one size.

    Args:
        selected: Bool tensor (batch, T, U + 1).
        vocabulary_size: int. What a cell holds, which the size of a block depends on.
    """

    def __init__(self, selected: Any, vocabulary_size: int) -> None:
        flat = ops.reshape(selected, (-1,))
        self.total = ops.shape(flat)[0]
        entries = ACCELERATOR_BLOCK_ENTRIES if on_accelerator() else BLOCK_ENTRIES
        self.block_size = max(1, entries // vocabulary_size)
        if isinstance(self.total, int):
            self.block_size = min(self.block_size, max(1, self.total))
        self.count = ops.sum(ops.cast(flat, "int32"))
        # One more cell, which a last block that is not full writes to.
        self.capacity = self.total + 1
        self.blocks = (self.count + self.block_size - 1) // self.block_size

        last = self.total + self.block_size
        place = ops.where(flat, ops.cumsum(ops.cast(flat, "int32")) - 1, last)
        packed = ops.full((last + 1,), self.total, dtype="int32")
        self._packed = ops.scatter_update(
            packed, place[:, None], ops.arange(self.total, dtype="int32")
        )

    def block(self, i: Any) -> tuple[Any, Any]:
        """The cells of block `i`, as indices into the flat lattice.

        Returns:
            Two int tensors (cells,): the cells to read, and the places to write to, which differ
            where a block is not full: it reads its first cell again, which unlike those of padding
            holds nothing that spoils sums, and writes past the lattice's end.
        """
        start = i * self.block_size
        size = self.block_size
        if uses_tensorflow_kernels():
            # They need no fixed size, and there are no places past the end.
            size = ops.minimum(size, self.count - start)
        place = ops.slice(self._packed, (start,), (size,))
        return ops.where(place < self.total, place, place[0]), place
