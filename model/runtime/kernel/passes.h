/* What a pass is told: the structs that `library.py` mirrors. */

#pragma once

#include <stdint.h>

enum {
  LANES = 8,
  PANEL = 16,      /* outputs that are made together */
  GROUP = 32,      /* inputs that share a scale */
  TILE = 4,        /* rows, and queries, that are multiplied together */
  WIDE_TILE = 6,   /* rows that are multiplied together where there are many */
  MANY = 2 * TILE, /* rows, and more are many: weights are widened once for all of them */
  POSITIONS = 64,  /* whose keys, or values, stay in the nearest cache */
  AHEAD = 8,       /* groups that are fetched before they are needed */
  MOST_THREADS = 64,
  SPINS = 500, /* some 15 microseconds */
};

typedef struct {
  uint16_t scales[PANEL];
  int8_t weights[GROUP][PANEL];
} Block;

typedef struct {
  int64_t n_outputs, n_inputs; /* multiples of PANEL and of GROUP */
  const Block *blocks;         /* panel after panel, group after group */
  const float *bias;           /* or NULL */
} Matrix;

typedef struct {
  const float *gain_in, *gain_mid;
  Matrix qkv, out, gate_up, down;
} Layer;

typedef struct {
  int64_t n_layers, n_heads, n_kv_heads, head_size, hidden_size, inner_size;
  float floor; /* the length that a norm adds, at right angles, to each row's own */
  const Layer *layers;
} Model;

typedef struct {
  const Model *model;
  int64_t n_rows, begin;  /* the positions [begin, begin + n_rows) are read */
  float *rows;            /* [n_rows, hidden], in place */
  float *cache;           /* [layers, 2 KV, capacity, size], keys first */
  const float *hidden;    /* [layers, KV, capacity], minus infinity where a head sees nothing; or NULL */
  const int64_t *starts;  /* [layers], where what a layer looks at begins; or NULL */
  const float *cos, *sin; /* [capacity, size], the sines with the sign by which halves are turned */
  int64_t capacity;       /* positions in the cache */
  float *heads, *seen;    /* [n_rows, heads, size] */
  float *inner;           /* [n_rows, inner] */
  float *scratch;         /* `n_scratch` floats for each thread */
  int64_t n_scratch;
} Pass;

static inline int64_t least(int64_t one, int64_t other) { return one < other ? one : other; }
