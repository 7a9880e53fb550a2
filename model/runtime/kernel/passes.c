/* Passes of a language model of Llama's layout, in float32, on x86-64 with AVX2, FMA and F16C.

   Weights are integers of eight bits, with a scale for each 32 inputs of an output. All threads go through a
   layer together, take what is to be done from one counter, and wait for each other at its end: a pass has a
   hundred and fifty such waits, so they spin before they sleep. Each sum is made in one order, however many
   rows are read and whoever makes it: a row comes out the same to the last bit whatever stands beside it.

   `model/runtime/kernel/library.py` builds this file and mirrors the structs; memory is the caller's. */

#include "attention.h"
#include "crew.h"
#include "numbers.h"
#include "passes.h"
#include "products.h"

/* All rows over their lengths, times the gain: `out` [n_rows, hidden]. */
static void normed(const Pass *pass, const float *gain, float *out) {
  int64_t width = pass->model->hidden_size;
  float floor = pass->model->floor;
  for (const float *row = pass->rows, *end = row + pass->n_rows * width; row < end;
       row += width, out += width) {
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

/* One panel of a head of queries, keys or values, and the one that it is turned with, for all rows. Queries
   and keys are turned; keys and values are kept. `made` has room for both panels. */
static void make_head_part(const Pass *pass, int64_t layer, const float *rows, int64_t number,
                           float (*made)[PANEL]) {
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
    const float *cos = pass->cos + position * size + part * PANEL,
                *sin = pass->sin + position * size + part * PANEL;
    for (int c = 0; c < PANEL; c++) {
      to[c] = fmaf(right[row][c], sin[c], left[row][c] * cos[c]);
      to[c + half] = fmaf(left[row][c], sin[c + half], right[row][c] * cos[c + half]);
    }
  }
}

/* Adds one panel of a product to the residual rows. */
static void add_to_rows(const Pass *pass, const Matrix *matrix, const float *from, int64_t number,
                        float (*made)[PANEL]) {
  int64_t width = pass->model->hidden_size;
  make_panel(matrix, number, from, pass->n_rows, made);
  for (int64_t r = 0; r < pass->n_rows; r++)
    for (int c = 0; c < PANEL; c++) pass->rows[r * width + number * PANEL + c] += made[r][c];
}

/* One panel of what the gate lets through. */
static void make_inner(const Pass *pass, const Matrix *gate_up, const float *rows, int64_t number,
                       float (*made)[PANEL]) {
  float (*gate)[PANEL] = made, (*up)[PANEL] = made + pass->n_rows;
  int64_t width = pass->model->inner_size;
  __m256 one = _mm256_set1_ps(1.0f), zero = _mm256_setzero_ps();
  make_panel(gate_up, number, rows, pass->n_rows, gate);
  make_panel(gate_up, width / PANEL + number, rows, pass->n_rows, up);
  for (int64_t r = 0; r < pass->n_rows; r++)
    for (int c = 0; c < PANEL; c += LANES) {
      __m256 x = _mm256_loadu_ps(gate[r] + c);
      __m256 open = _mm256_div_ps(x, _mm256_add_ps(one, exponential(_mm256_sub_ps(zero, x))));
      _mm256_storeu_ps(pass->inner + r * width + number * PANEL + c,
                       _mm256_mul_ps(open, _mm256_loadu_ps(up[r] + c)));
    }
}

/* Rows whose attention one thread works out together: many share what is read of the cache, few leave work
   for other threads. */
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
