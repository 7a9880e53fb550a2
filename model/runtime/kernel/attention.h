/* How the rows of a pass look at the cache. */

#pragma once

#include <string.h>

#include "numbers.h"
#include "passes.h"

/* Where the pairs of a layer's key head begin; values follow all keys. */
static inline float *pairs_of(const Pass *pass, int64_t layer, int64_t row) {
  const Model *model = pass->model;
  return pass->cache + (layer * 2 * model->n_kv_heads + row) * pass->capacity * model->head_size;
}

/* The softmax of the first `n` of `n_filled` scores in place, but for the division by their sum, which is
   returned. */
static float looks_of(float *scores, int64_t n, int64_t n_filled) {
  for (int64_t p = n; p < n_filled; p++) scores[p] = -INFINITY;
  __m256 nothing = _mm256_set1_ps(-INFINITY), most = nothing, total = _mm256_setzero_ps();
  for (int64_t p = 0; p < n_filled; p += LANES) most = _mm256_max_ps(most, _mm256_loadu_ps(scores + p));
  float each[LANES], largest = -INFINITY;
  _mm256_storeu_ps(each, most);
  for (int k = 0; k < LANES; k++) largest = fmaxf(largest, each[k]);
  most = _mm256_set1_ps(largest);
  for (int64_t p = 0; p < n_filled; p += LANES) {
    __m256 score = _mm256_loadu_ps(scores + p);
    __m256 is_seen = _mm256_cmp_ps(score, nothing, _CMP_GT_OQ);
    __m256 look = _mm256_and_ps(exponential(_mm256_sub_ps(score, most)), is_seen);
    total = _mm256_add_ps(total, look);
    _mm256_storeu_ps(scores + p, look);
  }
  return sum_of(total);
}

static inline __m128 sums_of(__m256 a, __m256 b, __m256 c, __m256 d) {
  __m256 pairs = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
  return _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1));
}

/* What TILE queries have in common with two keys. */
static inline void multiply_keys(const float *const queries[TILE], const float *one, const float *other,
                                 int64_t size, __m128 products[2]) {
  __m256 sums[2][TILE];
  for (int q = 0; q < TILE; q++) sums[0][q] = sums[1][q] = _mm256_setzero_ps();
  for (int64_t k = 0; k < size; k += LANES) {
    __m256 left = _mm256_loadu_ps(one + k), right = _mm256_loadu_ps(other + k);
#pragma GCC unroll 4
    for (int q = 0; q < TILE; q++) {
      __m256 query = _mm256_loadu_ps(queries[q] + k);
      sums[0][q] = _mm256_fmadd_ps(query, left, sums[0][q]);
      sums[1][q] = _mm256_fmadd_ps(query, right, sums[1][q]);
    }
  }
  for (int n = 0; n < 2; n++) products[n] = sums_of(sums[n][0], sums[n][1], sums[n][2], sums[n][3]);
}

/* Adds PANEL numbers of `n` values, by how much each is looked at, to those of TILE queries. */
static inline void add_values(const float *const looks[TILE], const float *values, int64_t size, int64_t n,
                              float *const to[TILE]) {
  __m256 sums[TILE][2];
  for (int q = 0; q < TILE; q++)
    for (int half = 0; half < 2; half++) sums[q][half] = _mm256_loadu_ps(to[q] + half * LANES);
  for (int64_t p = 0; p < n; p++, values += size) {
    __m256 left = _mm256_loadu_ps(values), right = _mm256_loadu_ps(values + LANES);
#pragma GCC unroll 4
    for (int q = 0; q < TILE; q++) {
      __m256 look = _mm256_broadcast_ss(looks[q] + p);
      sums[q][0] = _mm256_fmadd_ps(look, left, sums[q][0]);
      sums[q][1] = _mm256_fmadd_ps(look, right, sums[q][1]);
    }
  }
  for (int q = 0; q < TILE; q++)
    for (int half = 0; half < 2; half++) _mm256_storeu_ps(to[q] + half * LANES, sums[q][half]);
}

/* Of a key head's queries of the rows [first, last): `number` counts through the heads of each row. */
static inline int64_t place_of(const Pass *pass, int64_t kv, int64_t first, int64_t number) {
  const Model *model = pass->model;
  int64_t group = model->n_heads / model->n_kv_heads;
  return ((first + number / group) * model->n_heads + kv * group + number % group) * model->head_size;
}

/* What the queries of a key head see, for the rows [first, last): a part of `seen`. */
static void attend(const Pass *pass, int64_t layer, int64_t kv, int64_t first, int64_t last, float *scores) {
  const Model *model = pass->model;
  int64_t size = model->head_size, group = model->n_heads / model->n_kv_heads,
          n_queries = group * (last - first);
  int64_t start = pass->starts ? pass->starts[layer] : 0, n_seen = pass->begin + last - start;
  int64_t n_filled = (n_seen + LANES - 1) / LANES * LANES;
  const float *keys = pairs_of(pass, layer, kv) + start * size;
  const float *values = pairs_of(pass, layer, model->n_kv_heads + kv) + start * size;
  const float *hidden =
      pass->hidden ? pass->hidden + (layer * model->n_kv_heads + kv) * pass->capacity + start : NULL;
  __m128 scale = _mm_set1_ps(1.0f / sqrtf((float)size));
  for (int64_t block = 0; block < n_seen; block += POSITIONS)
    for (int64_t q = 0; q < n_queries; q += TILE) {
      const float *queries[TILE];
      float *to[TILE];
      for (int i = 0; i < TILE; i++) { /* where fewer are left, the last one stands there again */
        int64_t number = least(q + i, n_queries - 1);
        queries[i] = pass->heads + place_of(pass, kv, first, number);
        to[i] = scores + number * n_filled;
      }
      for (int64_t p = block; p < least(block + POSITIONS, n_seen); p += 2) {
        int64_t places[2] = {p, least(p + 1, n_seen - 1)};
        __m128 products[2];
        float four[TILE];
        multiply_keys(queries, keys + places[0] * size, keys + places[1] * size, size, products);
        for (int n = 0; n < 2; n++) {
          _mm_storeu_ps(four, _mm_mul_ps(products[n], scale));
          for (int i = 0; i < TILE; i++) to[i][places[n]] = hidden ? four[i] + hidden[places[n]] : four[i];
        }
      }
    }
  for (int64_t q = 0; q < n_queries; q++) {
    float total = looks_of(scores + q * n_filled, pass->begin + first + q / group + 1 - start, n_filled);
    __m256 share = _mm256_set1_ps(1.0f / total);
    for (int64_t p = 0; p < n_filled; p += LANES)
      _mm256_storeu_ps(scores + q * n_filled + p,
                       _mm256_mul_ps(share, _mm256_loadu_ps(scores + q * n_filled + p)));
    memset(pass->seen + place_of(pass, kv, first, q), 0, size * sizeof(float));
  }
  for (int64_t block = 0; block < n_seen; block += POSITIONS)
    for (int64_t q = 0; q < n_queries; q += TILE)
      for (int64_t k = 0; k < size; k += PANEL) {
        const float *looks[TILE];
        float *to[TILE], spare[PANEL] = {0};
        for (int i = 0; i < TILE; i++) {
          looks[i] = scores + least(q + i, n_queries - 1) * n_filled + block;
          to[i] = q + i < n_queries ? pass->seen + place_of(pass, kv, first, q + i) + k : spare;
        }
        add_values(looks, values + block * size + k, size, least(POSITIONS, n_seen - block), to);
      }
}
