"""The linear memories of one component, which have one quota together."""

from __future__ import annotations

from typing import Any

from flowrt.quota.pool import Pool
from flowrt.wasm import capi
from flowrt.wasm.quota import MemoryQuota


class TotalQuota(MemoryQuota):
    """At most `limit` bytes in all memories of an instance, taken from `pool` too where there is one."""

    def __init__(self, limit: int, pool: Pool | None = None) -> None:
        super().__init__(limit)
        self._shared = pool
        self._parts: list[_Part] = []

    def create(self, minimum: int, capacity: int, guard: int, made: Any) -> int | None:
        part = _Part(self, self._shared)
        self._parts.append(part)
        return part.create(minimum, capacity, guard, made)

    def view(self) -> memoryview:
        """Of the first memory; a component whose lists cross in place has one."""
        return self._parts[0].view() if self._parts else memoryview(b"")

    def release(self) -> None:
        for part in self._parts:
            part.release()
        self.size = 0


class _Part(MemoryQuota):
    """One memory."""

    def __init__(self, total: TotalQuota, pool: Pool | None) -> None:
        super().__init__(total.limit, pool)
        self._total = total

    def _grow(self, environment: int, size: int) -> int:
        self._total.used()
        before = self.size
        if self._total.size - before + size > self._total.limit:
            self._total.refused = True
            return capi.new_error(b"over the quota")  # type: ignore[no-any-return]
        error = super()._grow(environment, size)
        self._total.size += self.size - before
        if self.refused:
            self._total.refused, self._total.words = True, self.words
        return error
