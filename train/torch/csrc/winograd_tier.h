// winograd_tier.h: the loops of winograd.cc for one instruction set. It is included
// once a tier, inside a namespace of the tier's name and under the tier's target
// options, with these defined:
//
//	LANES   floats in a vector
//	ROWS    rows of the product's register block
//
// No header may be included here: its functions would be compiled for the tier.

typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

static constexpr int kColumns = 2 * LANES;  // of the register block

static inline vec load(const float* p) { return *reinterpret_cast<const vec*>(p); }
static inline void store(float* p, vec v) { *reinterpret_cast<vec*>(p) = v; }

// kDepth is the length of a chain of additions. Sums of more terms are those of so many
// each, added up: rounding errors grow with the longer of the two.
static constexpr int64_t kDepth = 128;

// block adds A·B to C, or stores it there: C is N rows of W·LANES floats, c_row apart;
// element (r,k) of A is a[r·a_row + k·a_k]; row k of B is b + k·b_row. The product is a
// chain of fused multiply-adds in order of k, whatever N, W and LANES are, so all tiers
// give the same bits.
template <int N, int W>
static inline __attribute__((always_inline)) void block(float* c, int64_t c_row, const float* a, int64_t a_row, int64_t a_k, const float* b,
                                                        int64_t b_row, int64_t depth, bool add) {
  vec acc[N][W];
#pragma GCC unroll 16
  for (int r = 0; r < N; r++) {
#pragma GCC unroll 2
    for (int w = 0; w < W; w++) acc[r][w] = vec{};
  }
  for (int64_t k = 0; k < depth; k++, a += a_k, b += b_row) {
    vec right[W];
#pragma GCC unroll 2
    for (int w = 0; w < W; w++) right[w] = load(b + w * LANES);
#pragma GCC unroll 16
    for (int r = 0; r < N; r++) {
      const float left = a[r * a_row];
#pragma GCC unroll 2
      for (int w = 0; w < W; w++) acc[r][w] += left * right[w];
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < N; r++) {
#pragma GCC unroll 2
    for (int w = 0; w < W; w++) {
      float* to = c + r * c_row + w * LANES;
      store(to, add ? load(to) + acc[r][w] : acc[r][w]);
    }
  }
}

// columns is the product for W vectors of columns, by chains: the part of B that a chain
// takes stays in the first level of the cache over all rows.
template <int W>
static void columns(float* c, int64_t c_row, int64_t rows, const float* a, int64_t a_row, int64_t a_k, const float* b, int64_t b_row,
                    int64_t depth, bool add) {
  for (int64_t k = 0; k < depth; k += kDepth, a += kDepth * a_k, b += kDepth * b_row, add = true) {
    const int64_t n = depth - k < kDepth ? depth - k : kDepth;
    int64_t r = 0;
    for (; r + ROWS <= rows; r += ROWS) block<ROWS, W>(c + r * c_row, c_row, a + r * a_row, a_row, a_k, b, b_row, n, add);
    for (; r + 4 <= rows; r += 4) block<4, W>(c + r * c_row, c_row, a + r * a_row, a_row, a_k, b, b_row, n, add);
    for (; r < rows; r++) block<1, W>(c + r * c_row, c_row, a + r * a_row, a_row, a_k, b, b_row, n, add);
  }
}

// product is C (rows,width), c_row apart, from A (rows,depth) and B (depth,width), which
// is in panels: its columns by kColumns, each panel's rows one after the other.
static void product(float* c, int64_t c_row, int64_t rows, int64_t width, const float* a, int64_t a_row, int64_t a_k, const float* b,
                    int64_t depth, bool add) {
  int64_t j = 0;
  for (; j + kColumns <= width; j += kColumns) columns<2>(c + j, c_row, rows, a, a_row, a_k, b + j * depth, kColumns, depth, add);
  for (; j < width; j += LANES) columns<1>(c + j, c_row, rows, a, a_row, a_k, b + j * depth, LANES, depth, add);
}

// panel is where the vector at column j of a matrix of so many rows in panels begins,
// and its rows' distance.
struct Panel {
  int64_t at, row;
};
static inline Panel panel(int64_t j, int64_t width, int64_t rows) {
  const int64_t whole = width / kColumns * kColumns;
  if (j >= whole) return {j * rows, LANES};
  return {j / kColumns * kColumns * rows + j % kColumns, kColumns};
}

// input_tile writes Bᵀ·d·B of one tile: d is 4×4 pixels, p[4·y+x] the channels of each.
// Element e goes to row `row` of the matrix (rows,channels) at v + e·element, which is
// in panels or not.
template <bool kPanels>
static void input_tile(const float* const p[16], int64_t channels, float* v, int64_t element, int64_t row, int64_t rows) {
  for (int64_t c = 0; c < channels; c += LANES) {
    vec t[4][4];
#pragma GCC unroll 4
    for (int x = 0; x < 4; x++) {
      const vec d0 = load(p[x] + c), d1 = load(p[4 + x] + c), d2 = load(p[8 + x] + c), d3 = load(p[12 + x] + c);
      t[0][x] = d0 - d2;
      t[1][x] = d1 + d2;
      t[2][x] = d2 - d1;
      t[3][x] = d1 - d3;
    }
    const Panel at = kPanels ? panel(c, channels, rows) : Panel{c, channels};
#pragma GCC unroll 4
    for (int y = 0; y < 4; y++) {
      float* to = v + at.at + row * at.row + 4 * y * element;
      store(to, t[y][0] - t[y][2]);
      store(to + element, t[y][1] + t[y][2]);
      store(to + 2 * element, t[y][2] - t[y][1]);
      store(to + 3 * element, t[y][1] - t[y][3]);
    }
  }
}

// output_tile writes Aᵀ·m·A of one tile to 2×2 pixels, p[2·y+x] the channels of each, or
// nullptr outside of the image. Element e of m is m + e·m_element.
static void output_tile(const float* m, int64_t m_element, int64_t channels, float* const p[4]) {
  for (int64_t c = 0; c < channels; c += LANES) {
    vec t[2][4];
#pragma GCC unroll 4
    for (int x = 0; x < 4; x++) {
      const float* from = m + x * m_element + c;
      const vec m0 = load(from), m1 = load(from + 4 * m_element), m2 = load(from + 8 * m_element), m3 = load(from + 12 * m_element);
      t[0][x] = m0 + m1 + m2;
      t[1][x] = m1 - m2 - m3;
    }
#pragma GCC unroll 2
    for (int y = 0; y < 2; y++) {
      if (p[2 * y]) store(p[2 * y] + c, t[y][0] + t[y][1] + t[y][2]);
      if (p[2 * y + 1]) store(p[2 * y + 1] + c, t[y][1] - t[y][2] - t[y][3]);
    }
  }
}

// gradient_tile writes A·dy·Aᵀ of one tile of 2×2 pixels; element e goes to z + e·element.
static void gradient_tile(const float* const p[4], int64_t channels, float* z, int64_t element) {
  for (int64_t c = 0; c < channels; c += LANES) {
    const vec a = load(p[0] + c), b = load(p[1] + c), d = load(p[2] + c), e = load(p[3] + c);
    const vec left[4] = {a, a + d, a - d, -d}, right[4] = {b, b + e, b - e, -e};
#pragma GCC unroll 4
    for (int y = 0; y < 4; y++) {
      float* to = z + 4 * y * element + c;
      store(to, left[y]);
      store(to + element, left[y] + right[y]);
      store(to + 2 * element, left[y] - right[y]);
      store(to + 3 * element, -right[y]);
    }
  }
}

// weight_vector writes G·g·Gᵀ for one vector of filters, g[3·y+x], into element e's place
// u + e·u_element.
static inline void weight_vector(const vec g[9], float* u, int64_t u_element) {
  vec t[4][3];
#pragma GCC unroll 3
  for (int x = 0; x < 3; x++) {
    const vec sum = g[x] + g[6 + x];
    t[0][x] = g[x];
    t[1][x] = (sum + g[3 + x]) * 0.5f;
    t[2][x] = (sum - g[3 + x]) * 0.5f;
    t[3][x] = g[6 + x];
  }
#pragma GCC unroll 4
  for (int y = 0; y < 4; y++) {
    const vec sum = t[y][0] + t[y][2];
    float* to = u + 4 * y * u_element;
    store(to, t[y][0]);
    store(to + u_element, (sum + t[y][1]) * 0.5f);
    store(to + 2 * u_element, (sum - t[y][1]) * 0.5f);
    store(to + 3 * u_element, t[y][2]);
  }
}

// weights_forward makes U of LANES filters from `out` on: w is (out,3,3,in) in memory,
// U in panels of `in` rows and `outs` columns.
static void weights_forward(const float* w, int64_t in, int64_t outs, int64_t out, float* u) {
  const Panel at = panel(out, outs, in);
  const int64_t element = in * outs;
  for (int64_t i = 0; i < in; i += LANES) {
    float turned[9][LANES][LANES];  // of a tap: input channel, then filter
    for (int tap = 0; tap < 9; tap++) {
      for (int o = 0; o < LANES; o++) {
        const float* from = w + ((out + o) * 9 + tap) * in + i;
#pragma GCC unroll 16
        for (int j = 0; j < LANES; j++) turned[tap][j][o] = from[j];
      }
    }
    for (int j = 0; j < LANES; j++) {
      vec g[9];
#pragma GCC unroll 9
      for (int tap = 0; tap < 9; tap++) g[tap] = load(turned[tap][j]);
      weight_vector(g, u + at.at + (i + j) * at.row, element);
    }
  }
}

// weights_backward makes U of the input's gradient, row `out` of it: the filters turned
// by half a circle, in panels of `outs` rows and `in` columns.
static void weights_backward(const float* w, int64_t in, int64_t outs, int64_t out, float* u) {
  const int64_t element = in * outs;
  for (int64_t i = 0; i < in; i += LANES) {
    vec g[9];
#pragma GCC unroll 9
    for (int tap = 0; tap < 9; tap++) g[tap] = load(w + (out * 9 + 8 - tap) * in + i);
    const Panel at = panel(i, in, outs);
    weight_vector(g, u + at.at + out * at.row, element);
  }
}

// weights_gradient writes Gᵀ·du·G of one filter: du is 16 matrices (outs,in), dw is
// (outs,3,3,in).
static void weights_gradient(const float* du, int64_t in, int64_t outs, int64_t out, float* dw) {
  const int64_t element = in * outs;
  for (int64_t i = 0; i < in; i += LANES) {
    vec t[3][4];
#pragma GCC unroll 4
    for (int x = 0; x < 4; x++) {
      const float* from = du + x * element + out * in + i;
      const vec d0 = load(from), d1 = load(from + 4 * element), d2 = load(from + 8 * element), d3 = load(from + 12 * element);
      t[0][x] = d0 + (d1 + d2) * 0.5f;
      t[1][x] = (d1 - d2) * 0.5f;
      t[2][x] = (d1 + d2) * 0.5f + d3;
    }
#pragma GCC unroll 3
    for (int y = 0; y < 3; y++) {
      float* to = dw + (out * 9 + 3 * y) * in + i;
      store(to, t[y][0] + (t[y][1] + t[y][2]) * 0.5f);
      store(to + in, (t[y][1] - t[y][2]) * 0.5f);
      store(to + 2 * in, (t[y][1] + t[y][2]) * 0.5f + t[y][3]);
    }
  }
}

static const Tier tier = {LANES,         product,         input_tile<false>, input_tile<true>, output_tile,
                          gradient_tile, weights_forward, weights_backward,  weights_gradient};
