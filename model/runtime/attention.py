"""How the rows of a pass look at the cache.

Owns the three ways to do it, their masks, and the check that one of them keeps a row's bits. Query heads
that share a key head stand as rows of it throughout: as heads of their own torch was seen to take six times
as long.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import partial

import torch
from torch.nn.functional import pad, scaled_dot_product_attention

from model.multiples import UNFILLED, Filling
from model.runtime.plan import Plan
from model.runtime.row_costs import MOST_ROWS

FEWEST_SHARING, SMALLEST_HEAD = 2, 32
"""Below these, torch has other kernels for one row than for several."""
PROBED_LENGTHS = (24, 205, 520, 1_043)
MAGNIFIED = 2.0**21
"""Makes of the rounding of a product of two rows a difference that the softmax shows."""
LANES = 16
LEAST_FLOAT32, LONGEST_PROBED = 384, 2_048
FEWEST_FLOAT32 = 2
"""Rows that products multiply at least: below four queries there is another kernel, from there on one."""


class Attention(StrEnum):
    """`MASKED` is one call of torch's attention: a row's last bits depend on the rows beside it.

    With the others a row comes out the same to the last bit whatever is read beside it. `APART` makes a call
    for each row. `PRODUCTS` multiplies all rows by the keys, and by the values, at once: eight rows of 700
    positions take a quarter to a third of the time, one row as long as before, or a few ms more in 30 layers;
    not every shape and processor keeps the bits (`keeps_bits`).
    """

    MASKED = "masked"
    APART = "apart"
    PRODUCTS = "products"


def filling_of(attention: Attention, dtype: torch.dtype) -> Filling:
    """How the positions looked at are filled up; those past the end are hidden.

    Sums of products over more of them then add zeros at the end of each of the processor's lanes, which
    changes no bit, as long as they are cut into the same parts: float32 cuts short ones by their length.
    """
    if attention is not Attention.PRODUCTS:
        return UNFILLED
    return Filling(LANES, LEAST_FLOAT32 if dtype == torch.float32 else 0)


def grouped(queries: torch.Tensor) -> torch.Tensor:
    """``[R, KV, group, D]`` to ``[KV, group * R, D]``."""
    return queries.permute(1, 2, 0, 3).flatten(1, 2)


def ungrouped(seen: torch.Tensor, n_rows: int) -> torch.Tensor:
    """``[KV, group * R, D]`` to ``[R, KV * group * D]``."""
    n_kv, _, size = seen.shape
    return seen.view(n_kv, -1, n_rows, size).permute(2, 0, 1, 3).reshape(n_rows, -1)


def attended(
    attention: Attention,
    queries: torch.Tensor,
    n_rows: int,
    keys: torch.Tensor,
    values: torch.Tensor,
    mask: torch.Tensor | None,
) -> torch.Tensor:
    """What `queries` ``[R, KV, group, D]`` see of ``[1, KV, seen, D]``: ``[R, KV * group * D]``.

    `mask` is `mask_of` the same way of looking, or that with `hiding` some; `n_rows` is R, which must be a
    number where this is recorded.
    """
    if attention is Attention.PRODUCTS:
        assert mask is not None
        return _by_products(queries, n_rows, keys[0], values[0], mask)
    if attention is Attention.APART or mask is None:
        return _apart(queries, n_rows, keys, values, mask)
    seen = scaled_dot_product_attention(grouped(queries).unsqueeze(0), keys, values, attn_mask=mask)
    return ungrouped(seen[0], n_rows)


def mask_of(
    attention: Attention, plan: Plan, n_rows: int, n_positions: int, n_seen: int
) -> torch.Tensor | None:
    """What is added to the scores ``[group * R, n_seen]`` so that no row sees what comes after it.

    The rows are the last of `n_positions`; None where nothing needs hiding.
    """
    if attention is Attention.PRODUCTS:
        n_more = _n_together(plan.dtype, n_rows) - n_rows
        return _hidden(plan, n_rows + n_more, n_positions + n_more, n_seen, torch.float32)
    if attention is Attention.APART or n_rows == 1:
        return None
    return _hidden(plan, n_rows, n_positions, n_seen, plan.dtype)


def hiding(attention: Attention, plan: Plan, mask: torch.Tensor | None, hidden: torch.Tensor) -> torch.Tensor:
    """`mask_of` for a layer whose key heads do not see all positions: ``[1, KV, group * R or 1, n_seen]``,
    without the first dimension for `PRODUCTS`; torch's attention has a slow way for masks of three.

    `hidden` ``[KV, n_seen]`` is minus infinity where a head sees nothing, else 0; with fewer positions the
    layer looks at the last ones only.
    """
    apart = hidden.unsqueeze(1)
    if attention is not Attention.PRODUCTS:
        apart = apart.unsqueeze(0).to(plan.dtype)
    return apart if mask is None else mask[:, -hidden.shape[-1] :] + apart


def exact_attention(plan: Plan) -> Attention:
    """The fastest way that keeps the bits of `plan`'s rows here; takes some ms to find out."""
    return Attention.PRODUCTS if keeps_bits(plan) else Attention.APART


def keeps_bits(plan: Plan) -> bool:
    """Whether `Attention.PRODUCTS` gives each of several rows what it gives that row alone.

    Found by numbers whose sums cancel: what is left of them is rounding, which another order changes.
    """
    group, size = plan.n_heads // plan.n_kv_heads, plan.head_size
    is_known = plan.dtype in (torch.bfloat16, torch.float32)
    if not is_known or group < FEWEST_SHARING or size < SMALLEST_HEAD:
        return False
    source = torch.Generator().manual_seed(0)
    drawn = partial(torch.randn, generator=source)
    filling = filling_of(Attention.PRODUCTS, plan.dtype)
    if plan.dtype == torch.float32 and not _keeps_bits_at_any_length(plan, drawn):
        return False
    for length in PROBED_LENGTHS:
        queries = drawn(MOST_ROWS, plan.n_kv_heads, group, size).to(plan.dtype)
        shape = plan.n_kv_heads, filling.up(length), size
        keys, values = (drawn(*shape).to(plan.dtype) for _ in range(2))
        level = torch.zeros_like(queries), keys, _cancelling(values, 1, length - MOST_ROWS)
        sharp = MAGNIFIED * _mirrored(queries), _cancelling(keys, 2, size), values
        if not (_keeps_bits_at(plan, length, *level) and _keeps_bits_at(plan, length, *sharp)):
            return False
    return True


def _keeps_bits_at_any_length(plan: Plan, drawn: Callable[..., torch.Tensor]) -> bool:
    """Whether sums in float32 stay when zeros follow. Any numbers show it: no result is rounded again."""
    n_asked = _n_together(plan.dtype, 1) * plan.n_heads // plan.n_kv_heads
    values = drawn(plan.n_kv_heads, LONGEST_PROBED, plan.head_size)
    looks = drawn(plan.n_kv_heads, n_asked, LONGEST_PROBED)
    for end in range(LEAST_FLOAT32, LONGEST_PROBED, LANES):
        longer = pad(looks[..., :end], (0, LANES))
        exact = torch.bmm(looks[..., :end], values[:, :end])
        if not torch.equal(torch.bmm(longer, values[:, : end + LANES]), exact):
            return False
    return True


def _cancelling(numbers: torch.Tensor, dim: int, length: int) -> torch.Tensor:
    """The first `length` along `dim` sum up to nothing, the rest are zero."""
    half = length // 2
    first = numbers.narrow(dim, 0, half)
    rest = numbers.narrow(dim, 2 * half, numbers.shape[dim] - 2 * half)
    return torch.cat([first, -first, torch.zeros_like(rest)], dim)


def _mirrored(queries: torch.Tensor) -> torch.Tensor:
    half = queries[..., : queries.shape[-1] // 2]
    return torch.cat([half, half], -1)


def _keeps_bits_at(
    plan: Plan, n_positions: int, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
) -> bool:
    def looked(first: int, last: int) -> torch.Tensor:
        end = n_positions - MOST_ROWS + last
        n_seen = filling_of(Attention.PRODUCTS, plan.dtype).up(end)
        mask = mask_of(Attention.PRODUCTS, plan, last - first, end, n_seen)
        assert mask is not None
        return _by_products(queries[first:last], last - first, keys[:, :n_seen], values[:, :n_seen], mask)

    alone = torch.cat([looked(row, row + 1) for row in range(MOST_ROWS)])
    several = range(2, MOST_ROWS + 1)
    return all(torch.equal(looked(MOST_ROWS - n, MOST_ROWS), alone[-n:]) for n in several)


def _hidden(plan: Plan, n_rows: int, n_positions: int, n_seen: int, dtype: torch.dtype) -> torch.Tensor:
    hidden = torch.full((n_rows, n_seen), -torch.inf, dtype=dtype, device=plan.embedding.device)
    return hidden.triu_(n_positions - n_rows + 1).repeat(plan.n_heads // plan.n_kv_heads, 1)


def _apart(
    queries: torch.Tensor,
    n_rows: int,
    keys: torch.Tensor,
    values: torch.Tensor,
    mask: torch.Tensor | None,
) -> torch.Tensor:
    """Ends count from the cache's end: a recorded pass holds at any length. The mask is that of all rows."""
    if n_rows == 1:
        return scaled_dot_product_attention(queries, keys, values, attn_mask=mask).view(1, -1)
    seen = []
    for row in range(n_rows):
        end = row + 1 - n_rows or None
        query = queries[row : row + 1]
        shown = None if mask is None else mask[..., :end]
        seen.append(
            scaled_dot_product_attention(query, keys[:, :, :end], values[:, :, :end], attn_mask=shown)
        )
    return torch.cat(seen).view(n_rows, -1)


def _by_products(
    queries: torch.Tensor, n_rows: int, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """`mask` comes first in the sum, which so has its layout and its float32."""
    size = keys.shape[-1]
    n_together = _n_together(queries.dtype, n_rows)
    asked = grouped(queries if n_together == n_rows else queries.expand(n_together, -1, -1, -1))
    looks = torch.add(mask, _products(asked, keys), alpha=size**-0.5).softmax(-1)
    return ungrouped(torch.bmm(looks.to(values.dtype), values), n_together)[:n_rows]


def _n_together(dtype: torch.dtype, n_rows: int) -> int:
    """Of how many rows products are made for so many: one that is too few stands there twice."""
    return max(n_rows, FEWEST_FLOAT32) if dtype == torch.float32 else n_rows


def _products(queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """``[KV, Q, D]`` and ``[KV, seen, D]`` to ``[KV, Q, seen]``.

    In bfloat16 keys times queries: there the right side is laid out anew at each call, and queries are fewer.
    In float32 that order has kernels by the number of queries, the other one does not.
    """
    if queries.dtype == torch.float32:
        return torch.bmm(queries, keys.transpose(1, 2))
    return torch.bmm(keys, queries.transpose(1, 2)).transpose(1, 2)
