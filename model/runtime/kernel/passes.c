/* Passes of a language model of Llama's layout, in float32, on x86-64 with AVX2, FMA and F16C.

   Weights are integers of eight bits, with a scale for each 32 inputs of an output. All threads go through a
   layer together, take what is to be done from one counter, and wait for each other at its end: a pass has a
   hundred and fifty such waits, so they spin before they sleep. Each sum is made in one order, however many
   rows are read and whoever makes it: a row comes out the same to the last bit whatever stands beside it.

   `model/runtime/kernel/library.py` builds this file and mirrors the structs; memory is the caller's. */

#include <immintrin.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

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
  SPINS = 500, /* some 20 microseconds */
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
  int64_t n_rows, begin;     /* the positions [begin, begin + n_rows) are read */
  float *rows;               /* [n_rows, hidden], in place */
  float *cache;              /* [layers, 2 KV, capacity, size], keys first */
  const float *hidden;       /* [layers, KV, capacity], minus infinity where a head sees nothing; or NULL */
  const int64_t *starts;     /* [layers], where what a layer looks at begins; or NULL */
  const float *cos, *sin;    /* [capacity, size], the sines with the sign by which halves are turned */
  int64_t capacity;          /* positions in the cache */
  float *heads, *seen;       /* [n_rows, heads, size] */
  float *inner;              /* [n_rows, inner] */
  float *scratch;            /* `n_scratch` floats for each thread */
  int64_t n_scratch;
} Pass;

static inline int64_t least(int64_t one, int64_t other) { return one < other ? one : other; }

/* ---- threads that work together ---- */

typedef void (*Job)(void *what, int thread, int n_threads);

static struct {
  pthread_mutex_t busy; /* held by whoever has a job done */
  pthread_mutex_t lock; /* of what stands below */
  pthread_cond_t wake;
  int n_workers, n_threads;
  uint64_t number;
  Job job;
  void *what;
} crew = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, 0, 0, 0};

static atomic_int n_arrived, n_asleep;
static atomic_uint phase;            /* counts the meetings */
static atomic_llong next_unit[2];    /* of a phase with an even number, and with an odd one */

static void sleep_until_past(unsigned now) {
#ifdef __linux__
  atomic_fetch_add(&n_asleep, 1);
  syscall(SYS_futex, &phase, FUTEX_WAIT_PRIVATE, now, NULL, NULL, 0);
  atomic_fetch_sub(&n_asleep, 1);
#else
  (void)now;
  sched_yield();
#endif
}

static void wake_all(void) {
#ifdef __linux__
  if (atomic_load(&n_asleep)) syscall(SYS_futex, &phase, FUTEX_WAKE_PRIVATE, MOST_THREADS, NULL, NULL, 0);
#endif
}

/* Returns once all threads are here. */
static void meet(int n_threads) {
  unsigned now = atomic_load(&phase);
  if (atomic_fetch_add(&n_arrived, 1) == n_threads - 1) {
    atomic_store(&n_arrived, 0);
    atomic_store(&next_unit[now & 1], 0);
    atomic_store(&phase, now + 1);
    wake_all();
    return;
  }
  for (int n = 0; atomic_load_explicit(&phase, memory_order_acquire) == now; n++)
    if (n < SPINS) _mm_pause();
    else sleep_until_past(now);
}

/* The number of a unit of this phase's work that nobody else takes. */
static inline int64_t take(void) {
  unsigned now = atomic_load_explicit(&phase, memory_order_relaxed);
  return atomic_fetch_add_explicit(&next_unit[now & 1], 1, memory_order_relaxed);
}

static void *work(void *number) {
  int thread = (int)(intptr_t)number;
  uint64_t done = 0;
  for (;;) {
    pthread_mutex_lock(&crew.lock);
    while (crew.number == done || thread >= crew.n_threads) {
      done = crew.number;
      pthread_cond_wait(&crew.wake, &crew.lock);
    }
    done = crew.number;
    Job job = crew.job;
    void *what = crew.what;
    int n_threads = crew.n_threads;
    pthread_mutex_unlock(&crew.lock);
    job(what, thread, n_threads);
    meet(n_threads);
  }
  return NULL;
}

/* Has as many of `n_threads` do `job` as can be had, this one among them. */
static void together(Job job, void *what, int n_threads) {
  pthread_mutex_lock(&crew.busy);
  pthread_mutex_lock(&crew.lock);
  n_threads = (int)least(n_threads, MOST_THREADS);
  while (crew.n_workers < n_threads - 1) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, work, (void *)(intptr_t)(crew.n_workers + 1))) break;
    pthread_detach(thread);
    crew.n_workers++;
  }
  n_threads = (int)least(n_threads, crew.n_workers + 1);
  atomic_store(&next_unit[0], 0);
  atomic_store(&next_unit[1], 0);
  crew.n_threads = n_threads;
  crew.job = job;
  crew.what = what;
  crew.number++;
  if (n_threads > 1) pthread_cond_broadcast(&crew.wake);
  pthread_mutex_unlock(&crew.lock);
  job(what, 0, n_threads);
  meet(n_threads);
  pthread_mutex_unlock(&crew.busy);
}

/* ---- products ---- */

static inline __m256 widened(const int8_t *eight) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)eight)));
}

/* Adds a group's part to `out` [n_rows, PANEL]. `wide` are its weights as floats, or NULL; `n_rows` is a number
   where this is called. */
static inline __attribute__((always_inline)) void add_group(
    const Block *block, const float (*wide)[PANEL], const float *rows, int64_t stride, const int n_rows,
    float (*out)[PANEL]) {
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
  for (int line = 0; line < (int)sizeof(Block); line += 64) _mm_prefetch((const char *)block + line, _MM_HINT_T0);
}

static inline __attribute__((always_inline)) void add_panel_of_few(
    const Block *block, int64_t n_groups, const float *rows, int64_t stride, const int n_rows, float (*out)[PANEL]) {
  for (const Block *end = block + n_groups; block < end; block++, rows += GROUP) {
    fetch(block + AHEAD);
    add_group(block, NULL, rows, stride, n_rows, out);
  }
}

static void add_panel_of_many(
    const Block *block, int64_t n_groups, const float *rows, int64_t stride, int64_t n_rows, float (*out)[PANEL]) {
  float wide[GROUP][PANEL] __attribute__((aligned(32)));
  for (const Block *end = block + n_groups; block < end; block++, rows += GROUP) {
    fetch(block + AHEAD);
    for (int k = 0; k < GROUP; k++)
      for (int c = 0; c < PANEL; c += LANES) _mm256_store_ps(wide[k] + c, widened(block->weights[k] + c));
    int64_t r = 0;
    for (; r + WIDE_TILE <= n_rows; r += WIDE_TILE) add_group(block, wide, rows + r * stride, stride, WIDE_TILE, out + r);
    switch (n_rows - r) {
      case 1: add_group(block, wide, rows + r * stride, stride, 1, out + r); break;
      case 2: add_group(block, wide, rows + r * stride, stride, 2, out + r); break;
      case 3: add_group(block, wide, rows + r * stride, stride, 3, out + r); break;
      case 4: add_group(block, wide, rows + r * stride, stride, 4, out + r); break;
      case 5: add_group(block, wide, rows + r * stride, stride, 5, out + r); break;
    }
  }
}

/* One panel of a product: `out` [n_rows, PANEL]. */
static void make_panel(const Matrix *matrix, int64_t number, const float *rows, int64_t n_rows, float (*out)[PANEL]) {
  int64_t stride = matrix->n_inputs, n_groups = stride / GROUP;
  const Block *blocks = matrix->blocks + number * n_groups;
  for (int64_t r = 0; r < n_rows; r++)
    if (matrix->bias) memcpy(out[r], matrix->bias + number * PANEL, sizeof out[r]);
    else memset(out[r], 0, sizeof out[r]);
  if (n_rows > MANY) {
    add_panel_of_many(blocks, n_groups, rows, stride, n_rows, out);
    return;
  }
  for (int64_t r = 0; r < n_rows; r += TILE) {
    const float *from = rows + r * stride;
    switch (least(TILE, n_rows - r)) {
      case 1: add_panel_of_few(blocks, n_groups, from, stride, 1, out + r); break;
      case 2: add_panel_of_few(blocks, n_groups, from, stride, 2, out + r); break;
      case 3: add_panel_of_few(blocks, n_groups, from, stride, 3, out + r); break;
      default: add_panel_of_few(blocks, n_groups, from, stride, TILE, out + r);
    }
  }
}

/* ---- single functions ---- */

static inline float sum_of(__m256 eight) {
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  four = _mm_hadd_ps(four, four);
  return _mm_cvtss_f32(_mm_hadd_ps(four, four));
}

/* e to the power of each, to within some units of the last place (the polynomial of Cephes' expf). */
static inline __m256 exponential(__m256 x) {
  x = _mm256_min_ps(_mm256_max_ps(x, _mm256_set1_ps(-87.0f)), _mm256_set1_ps(88.0f));
  __m256 whole = _mm256_round_ps(
      _mm256_mul_ps(x, _mm256_set1_ps(1.44269504f)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  x = _mm256_fnmadd_ps(whole, _mm256_set1_ps(0.693359375f), x);
  x = _mm256_fnmadd_ps(whole, _mm256_set1_ps(-2.12194440e-4f), x);
  __m256 y = _mm256_set1_ps(1.9875691500e-4f);
  y = _mm256_fmadd_ps(y, x, _mm256_set1_ps(1.3981999507e-3f));
  y = _mm256_fmadd_ps(y, x, _mm256_set1_ps(8.3334519073e-3f));
  y = _mm256_fmadd_ps(y, x, _mm256_set1_ps(4.1665795894e-2f));
  y = _mm256_fmadd_ps(y, x, _mm256_set1_ps(1.6666665459e-1f));
  y = _mm256_fmadd_ps(y, x, _mm256_set1_ps(5.0000001201e-1f));
  y = _mm256_fmadd_ps(y, _mm256_mul_ps(x, x), _mm256_add_ps(x, _mm256_set1_ps(1.0f)));
  __m256i power = _mm256_add_epi32(_mm256_cvtps_epi32(whole), _mm256_set1_epi32(127));
  return _mm256_mul_ps(y, _mm256_castsi256_ps(_mm256_slli_epi32(power, 23)));
}

/* All rows over their lengths, times the gain: `out` [n_rows, hidden]. */
static void normed(const Pass *pass, const float *gain, float *out) {
  int64_t width = pass->model->hidden_size;
  float floor = pass->model->floor;
  for (const float *row = pass->rows, *end = row + pass->n_rows * width; row < end; row += width, out += width) {
    __m256 squares = _mm256_setzero_ps();
    for (int64_t k = 0; k < width; k += LANES) {
      __m256 some = _mm256_loadu_ps(row + k);
      squares = _mm256_fmadd_ps(some, some, squares);
    }
    __m256 share = _mm256_set1_ps(1.0f / sqrtf(sum_of(squares) + floor * floor));
    for (int64_t k = 0; k < width; k += LANES) {
      __m256 unit = _mm256_mul_ps(_mm256_loadu_ps(row + k), share);
      _mm256_storeu_ps(out + k, _mm256_mul_ps(unit, _mm256_loadu_ps(gain + k)));
    }
  }
}

/* The softmax of the first `n` of `n_filled` scores in place, not yet divided by the sum, which is returned. */
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

/* ---- attention ---- */

/* Where the pairs of a layer's key head begin; values follow all keys. */
static inline float *pairs_of(const Pass *pass, int64_t layer, int64_t row) {
  const Model *model = pass->model;
  return pass->cache + (layer * 2 * model->n_kv_heads + row) * pass->capacity * model->head_size;
}

/* One panel of a head of queries, keys or values, and the one that it is turned with, for all rows. Queries and
   keys are turned; keys and values are kept. `made` has room for both panels. */
static void make_head_part(const Pass *pass, int64_t layer, const float *rows, int64_t number, float (*made)[PANEL]) {
  const Model *model = pass->model;
  const Matrix *qkv = &model->layers[layer].qkv;
  int64_t size = model->head_size, half = size / 2, n_parts = half / PANEL, n_heads = model->n_heads;
  int64_t head = number / n_parts, part = number % n_parts, first = head * size / PANEL + part;
  float (*left)[PANEL] = made, (*right)[PANEL] = made + pass->n_rows;
  make_panel(qkv, first, rows, pass->n_rows, left);
  make_panel(qkv, first + n_parts, rows, pass->n_rows, right);
  for (int64_t row = 0; row < pass->n_rows; row++) {
    int64_t position = pass->begin + row;
    float *to = head < n_heads ? pass->heads + (row * n_heads + head) * size
                               : pairs_of(pass, layer, head - n_heads) + position * size;
    to += part * PANEL;
    if (head >= n_heads + model->n_kv_heads) {
      memcpy(to, left[row], sizeof left[row]);
      memcpy(to + half, right[row], sizeof right[row]);
      continue;
    }
    const float *cos = pass->cos + position * size + part * PANEL, *sin = pass->sin + position * size + part * PANEL;
    for (int c = 0; c < PANEL; c++) {
      to[c] = fmaf(right[row][c], sin[c], left[row][c] * cos[c]);
      to[c + half] = fmaf(left[row][c], sin[c + half], right[row][c] * cos[c + half]);
    }
  }
}

static inline __m128 sums_of(__m256 a, __m256 b, __m256 c, __m256 d) {
  __m256 pairs = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
  return _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1));
}

/* What TILE queries have in common with two keys. */
static inline void multiply_keys(
    const float *const queries[TILE], const float *one, const float *other, int64_t size, __m128 products[2]) {
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
static inline void add_values(
    const float *const looks[TILE], const float *values, int64_t size, int64_t n, float *const to[TILE]) {
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
  int64_t size = model->head_size, group = model->n_heads / model->n_kv_heads, n_queries = group * (last - first);
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
      _mm256_storeu_ps(scores + q * n_filled + p, _mm256_mul_ps(share, _mm256_loadu_ps(scores + q * n_filled + p)));
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

/* ---- layers ---- */

/* Adds one panel of a product to the residual rows. */
static void add_to_rows(const Pass *pass, const Matrix *matrix, const float *from, int64_t number, float (*made)[PANEL]) {
  int64_t width = pass->model->hidden_size;
  make_panel(matrix, number, from, pass->n_rows, made);
  for (int64_t r = 0; r < pass->n_rows; r++)
    for (int c = 0; c < PANEL; c++) pass->rows[r * width + number * PANEL + c] += made[r][c];
}

/* One panel of what the gate lets through. */
static void make_inner(const Pass *pass, const Matrix *gate_up, const float *rows, int64_t number, float (*made)[PANEL]) {
  float (*gate)[PANEL] = made, (*up)[PANEL] = made + pass->n_rows;
  int64_t width = pass->model->inner_size;
  __m256 one = _mm256_set1_ps(1.0f), zero = _mm256_setzero_ps();
  make_panel(gate_up, number, rows, pass->n_rows, gate);
  make_panel(gate_up, width / PANEL + number, rows, pass->n_rows, up);
  for (int64_t r = 0; r < pass->n_rows; r++)
    for (int c = 0; c < PANEL; c += LANES) {
      __m256 x = _mm256_loadu_ps(gate[r] + c);
      __m256 open = _mm256_div_ps(x, _mm256_add_ps(one, exponential(_mm256_sub_ps(zero, x))));
      _mm256_storeu_ps(pass->inner + r * width + number * PANEL + c, _mm256_mul_ps(open, _mm256_loadu_ps(up[r] + c)));
    }
}

/* Rows whose attention one thread works out together: many share what is read of the cache, few fit more threads. */
static inline int64_t rows_together(int64_t n_rows) { return n_rows < 32 ? 2 : 8; }

static void run_layers(void *what, int thread, int n_threads) {
  const Pass *pass = what;
  const Model *model = pass->model;
  int64_t n_rows = pass->n_rows, width = model->hidden_size, n_kv = model->n_kv_heads;
  int64_t some = rows_together(n_rows), n_parts = (n_rows + some - 1) / some;
  float *rows = pass->scratch + thread * pass->n_scratch, (*made)[PANEL] = (void *)(rows + n_rows * width);
  float *scores = rows + n_rows * (width + 2 * PANEL);
  for (int64_t number = 0; number < model->n_layers; number++) {
    const Layer *layer = model->layers + number;
    int64_t unit, n_turned = (model->n_heads + 2 * n_kv) * model->head_size / (2 * PANEL);
    normed(pass, layer->gain_in, rows);
    while ((unit = take()) < n_turned) make_head_part(pass, number, rows, unit, made);
    meet(n_threads);
    while ((unit = take()) < n_kv * n_parts) {
      int64_t first = unit / n_kv * some;
      attend(pass, number, unit % n_kv, first, least(first + some, n_rows), scores);
    }
    meet(n_threads);
    while ((unit = take()) < width / PANEL) add_to_rows(pass, &layer->out, pass->seen, unit, made);
    meet(n_threads);
    normed(pass, layer->gain_mid, rows);
    while ((unit = take()) < model->inner_size / PANEL) make_inner(pass, &layer->gate_up, rows, unit, made);
    meet(n_threads);
    while ((unit = take()) < width / PANEL) add_to_rows(pass, &layer->down, pass->inner, unit, made);
    meet(n_threads);
  }
}

/* ---- what is called ---- */

/* Floats of scratch that a thread needs. */
int64_t hef_scratch(const Pass *pass) {
  const Model *model = pass->model;
  int64_t n_queries = model->n_heads / model->n_kv_heads * rows_together(pass->n_rows);
  int64_t n_filled = (pass->begin + pass->n_rows + LANES - 1) / LANES * LANES;
  return pass->n_rows * (model->hidden_size + 2 * PANEL) + n_queries * n_filled;
}

void hef_run_layers(Pass *pass, int n_threads) { together(run_layers, pass, n_threads); }

typedef struct {
  const Matrix *matrix;
  const float *rows;
  int64_t n_rows;
  float *out;
} Product;

enum { ROWS = 64 }; /* of a single product, whose panels stand on the stack at a time */

static void multiply(void *what, int thread, int n_threads) {
  const Product *product = what;
  const Matrix *matrix = product->matrix;
  (void)thread, (void)n_threads;
  float made[ROWS][PANEL];
  for (int64_t number; (number = take()) < matrix->n_outputs / PANEL;)
    for (int64_t first = 0; first < product->n_rows; first += ROWS) {
      int64_t n = least(ROWS, product->n_rows - first);
      make_panel(matrix, number, product->rows + first * matrix->n_inputs, n, made);
      for (int64_t r = 0; r < n; r++)
        memcpy(product->out + (first + r) * matrix->n_outputs + number * PANEL, made[r], sizeof made[r]);
    }
}

/* `rows` [n_rows, inputs] to `out` [n_rows, outputs]. */
void hef_multiply(const Matrix *matrix, const float *rows, int64_t n_rows, float *out, int n_threads) {
  Product product = {matrix, rows, n_rows, out};
  together(multiply, &product, n_threads);
}
