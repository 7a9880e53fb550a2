/* Products of rows and a matrix, a panel of its outputs at a time. */

#pragma once

#include <string.h>

#include "numbers.h"
#include "passes.h"

static inline __m256 widened(const int8_t *eight) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)eight)));
}

/* Adds a group's part to `out` [n_rows, PANEL]. `wide` are its weights as floats, or NULL; `n_rows` is a
   number where this is called. */
static inline __attribute__((always_inline)) void add_group(const Block *block, const float (*wide)[PANEL],
                                                            const float *rows, int64_t stride,
                                                            const int n_rows, float (*out)[PANEL]) {
  __m256 sums[WIDE_TILE][2];
#pragma GCC unroll 6
  for (int r = 0; r < n_rows; r++) sums[r][0] = sums[r][1] = _mm256_setzero_ps();
#pragma GCC unroll 4
  for (int k = 0; k < GROUP; k++) {
    __m256 left = wide ? _mm256_load_ps(wide[k]) : widened(block->weights[k]);
    __m256 right = wide ? _mm256_load_ps(wide[k] + LANES) : widened(block->weights[k] + LANES);
#pragma GCC unroll 6
    for (int r = 0; r < n_rows; r++) {
      __m256 input = _mm256_broadcast_ss(rows + r * stride + k);
      sums[r][0] = _mm256_fmadd_ps(input, left, sums[r][0]);
      sums[r][1] = _mm256_fmadd_ps(input, right, sums[r][1]);
    }
  }
#pragma GCC unroll 2
  for (int half = 0; half < 2; half++) {
    __m256 scale = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)block->scales + half));
#pragma GCC unroll 6
    for (int r = 0; r < n_rows; r++) {
      float *to = out[r] + half * LANES;
      _mm256_storeu_ps(to, _mm256_fmadd_ps(scale, sums[r][half], _mm256_loadu_ps(to)));
    }
  }
}

static inline void fetch(const Block *block) {
  for (int line = 0; line < (int)sizeof(Block); line += 64)
    _mm_prefetch((const char *)block + line, _MM_HINT_T0);
}

/* `add_group` for up to WIDE_TILE rows. */
static inline __attribute__((always_inline)) void add_some(const Block *block, const float (*wide)[PANEL],
                                                           const float *rows, int64_t stride, int64_t n_rows,
                                                           float (*out)[PANEL]) {
  switch (n_rows) {
    case 1:
      add_group(block, wide, rows, stride, 1, out);
      break;
    case 2:
      add_group(block, wide, rows, stride, 2, out);
      break;
    case 3:
      add_group(block, wide, rows, stride, 3, out);
      break;
    case 4:
      add_group(block, wide, rows, stride, 4, out);
      break;
    case 5:
      add_group(block, wide, rows, stride, 5, out);
      break;
    default:
      add_group(block, wide, rows, stride, WIDE_TILE, out);
  }
}

/* One panel of a product: `out` [n_rows, PANEL]. */
static void make_panel(const Matrix *matrix, int64_t number, const float *rows, int64_t n_rows,
                       float (*out)[PANEL]) {
  int64_t stride = matrix->n_inputs, n_groups = stride / GROUP;
  const Block *block = matrix->blocks + number * n_groups;
  for (int64_t r = 0; r < n_rows; r++)
    if (matrix->bias)
      memcpy(out[r], matrix->bias + number * PANEL, sizeof out[r]);
    else
      memset(out[r], 0, sizeof out[r]);
  float wide[GROUP][PANEL] __attribute__((aligned(32)));
  for (const Block *end = block + n_groups; block < end; block++, rows += GROUP) {
    fetch(block + AHEAD);
    if (n_rows <= MANY) {
      for (int64_t r = 0; r < n_rows; r += TILE)
        add_some(block, NULL, rows + r * stride, stride, least(TILE, n_rows - r), out + r);
      continue;
    }
    for (int k = 0; k < GROUP; k++)
      for (int c = 0; c < PANEL; c += LANES) _mm256_store_ps(wide[k] + c, widened(block->weights[k] + c));
    for (int64_t r = 0; r < n_rows; r += WIDE_TILE)
      add_some(block, wide, rows + r * stride, stride, least(WIDE_TILE, n_rows - r), out + r);
  }
}
