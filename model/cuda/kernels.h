// The operators' arithmetic, once for GPU and CPU.
//
// A kernel is the work of one block of threads, written as steps: `threads.each` runs a step for every thread, and all have
// finished it before the next begins. On a GPU that is a barrier, on a CPU a loop (cuda.cu and operators.cpp), so that what
// a CPU computes and tests is what a GPU runs, tiles and indices included. Maps are rows of pixels, each a row of channels:
// [N,H,W,C]. Sums are fp32; positions in memory have 64 bits.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <variant>

#ifdef __CUDACC__
#include <cuda_fp16.h>
#define UPLIFT_BOTH __host__ __device__ __forceinline__
#define UPLIFT_UNROLL _Pragma("unroll")
#else
#define UPLIFT_BOTH inline
#define UPLIFT_UNROLL
#endif

namespace uplift {

constexpr int THREADS = 256;  // of every block

// ---------------------------------------------------------------------------------------------------------- numbers

enum class Type { FLOAT, HALF, BFLOAT16 };

struct Half {
  uint16_t bits;
};

struct BFloat16 {
  uint16_t bits;
};

UPLIFT_BOTH uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  return bits;
}

UPLIFT_BOTH float float_of(uint32_t bits) {
  float x;
  memcpy(&x, &bits, 4);
  return x;
}

UPLIFT_BOTH float to_float(float x) { return x; }

UPLIFT_BOTH float to_float(BFloat16 x) { return float_of(static_cast<uint32_t>(x.bits) << 16); }

UPLIFT_BOTH float to_float(Half x) {
#ifdef __CUDA_ARCH__
  return __half2float(__ushort_as_half(x.bits));
#else
  const uint32_t sign = (x.bits & 0x8000u) << 16, rest = x.bits & 0x7fffu;
  // The exponent's bias differs by 112; infinity and NaN keep the largest exponent.
  const float value = rest >= 0x7c00u ? float_of((rest << 13) | 0x7f800000u) : float_of(rest << 13) * 0x1p112f;
  return float_of(sign | bits_of(value));
#endif
}

UPLIFT_BOTH void from_float(float x, float& to) { to = x; }

UPLIFT_BOTH void from_float(float x, BFloat16& to) {
  const uint32_t bits = bits_of(x);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  to.bits = static_cast<uint16_t>(x == x ? rounded : 0x7fc0u);
}

UPLIFT_BOTH void from_float(float x, Half& to) {
#ifdef __CUDA_ARCH__
  to.bits = __half_as_ushort(__float2half_rn(x));
#else
  const uint32_t sign = (bits_of(x) >> 16) & 0x8000u, rest = bits_of(x) & 0x7fffffffu;
  uint32_t rounded;
  if (rest > 0x7f800000u) {
    rounded = 0x7e00u;
  } else if (rest >= 0x477ff000u) {
    rounded = 0x7c00u;
  } else if (rest < 0x38800000u) {  // below the normal numbers: the addition rounds at their step of 2^-24
    rounded = bits_of(float_of(rest) + 0.5f) - bits_of(0.5f);
  } else {
    rounded = (rest - 0x38000000u + 0xfffu + ((rest >> 13) & 1u)) >> 13;
  }
  to.bits = static_cast<uint16_t>(sign | rounded);
#endif
}

// Values side by side in memory, read and written at once.
template <class T, int V>
struct alignas(sizeof(T) * V) Pack {
  T at[V];
};

template <int V, class T>
UPLIFT_BOTH void load(const T* from, float (&to)[V]) {
  const Pack<T, V> pack = *reinterpret_cast<const Pack<T, V>*>(from);
  UPLIFT_UNROLL
  for (int i = 0; i < V; i++) to[i] = to_float(pack.at[i]);
}

template <int V, class T>
UPLIFT_BOTH void store(const float (&from)[V], T* to) {
  Pack<T, V> pack;
  UPLIFT_UNROLL
  for (int i = 0; i < V; i++) from_float(from[i], pack.at[i]);
#ifdef __CUDA_ARCH__
  if constexpr (sizeof(pack) == 16) {  // the compiler would write some of these word by word
    uint4 words;
    memcpy(&words, &pack, 16);
    *reinterpret_cast<uint4*>(to) = words;
    return;
  }
#endif
  *reinterpret_cast<Pack<T, V>*>(to) = pack;
}

// -------------------------------------------------------------------------------------------------------- attention

// The cells that a pixel attends to, in the order of the attender's channels (uplift.py: NEIGHBOURHOODS).
template <int K>
struct Neighbours {
  int y[K] = {}, x[K] = {};

  static constexpr int REACH = K <= 9 ? 1 : 2;

  UPLIFT_BOTH constexpr Neighbours() {
    int k = 0;
    for (int dy = -REACH; dy <= REACH; dy++) {
      for (int dx = -REACH; dx <= REACH; dx++) {
        const int ay = dy < 0 ? -dy : dy, ax = dx < 0 ? -dx : dx;
        const bool diamond = ay + ax <= REACH, corner = ay == 2 && ax == 2;
        if (K == 9 || K == 25 || diamond || (K == 17 && corner)) {
          y[k] = dy;
          x[k++] = dx;
        }
      }
    }
  }
};

template <int K>
UPLIFT_BOTH void softmax(float (&x)[K]) {
  float largest = x[0], sum = 0;
  UPLIFT_UNROLL
  for (int k = 1; k < K; k++) largest = fmaxf(largest, x[k]);
  UPLIFT_UNROLL
  for (int k = 0; k < K; k++) sum += x[k] = expf(x[k] - largest);
  const float share = 1 / sum;
  UPLIFT_UNROLL
  for (int k = 0; k < K; k++) x[k] *= share;
}

// The weights of two pixels side by side, the left of which has an even number: together their logits are whole words.
template <int K, class T>
UPLIFT_BOTH void attention(const T* logits, float (&left)[K], float (&right)[K]) {
  constexpr int WORD = 4 / sizeof(T);
  float both[2 * K];
  UPLIFT_UNROLL
  for (int i = 0; i < 2 * K; i += WORD) {
    float word[WORD];
    load<WORD>(logits + i, word);
    UPLIFT_UNROLL
    for (int j = 0; j < WORD; j++) both[i + j] = word[j];
  }
  UPLIFT_UNROLL
  for (int k = 0; k < K; k++) {
    left[k] = both[k];
    right[k] = both[K + k];
  }
  softmax(left);
  softmax(right);
}

template <int K>
UPLIFT_BOTH void attention(const void* logits, Type type, int64_t pixel, float (&left)[K], float (&right)[K]) {
  if (type == Type::FLOAT) attention(static_cast<const float*>(logits) + pixel * K, left, right);
  if (type == Type::HALF) attention(static_cast<const Half*>(logits) + pixel * K, left, right);
  if (type == Type::BFLOAT16) attention(static_cast<const BFloat16*>(logits) + pixel * K, left, right);
}

UPLIFT_BOTH int within(int i, int size) { return i < 0 ? 0 : i < size ? i : size - 1; }

// `uplift::attend`: a softmax over each pixel's logits [N,2h,2w,K], and the sum of its cell's neighbours in values
// [N,h,w,C] by these weights: [N,2h,2w,C]. A neighbour is read once for the four pixels of a cell.
struct Attend {
  const void* logits;
  const void* values;
  void* out;
  Type logits_type, type;
  int neighbours, h, w, channels;
  int64_t frames;
};

template <int K, class T, int V>
struct AttendBlock {
  static constexpr int ROWS = 4, COLUMNS = 8, CELLS = ROWS * COLUMNS, RESIDENT = 1;

  Attend a;

  struct State {};

  struct Shared {
    float weight[CELLS][K][4];
    int64_t place[CELLS][K];
  };

  int64_t blocks() const { return a.frames * tiles(a.h, ROWS) * tiles(a.w, COLUMNS); }

  size_t shared() const { return sizeof(Shared); }

  UPLIFT_BOTH static int64_t tiles(int size, int step) { return (size + step - 1) / step; }

  template <class Threads>
  UPLIFT_BOTH void operator()(Threads& threads, int64_t block, void* memory) const {
    Shared& shared = *static_cast<Shared*>(memory);
    const int64_t across = tiles(a.w, COLUMNS), down = tiles(a.h, ROWS), frame = block / across / down;
    const int top = static_cast<int>(block / across % down) * ROWS, left = static_cast<int>(block % across) * COLUMNS;
    const int rows = top + ROWS < a.h ? ROWS : a.h - top, columns = left + COLUMNS < a.w ? COLUMNS : a.w - left;
    threads.each([&](int thread, State&) {
      constexpr Neighbours<K> neighbours;
      for (int i = thread; i < CELLS * 2; i += THREADS) {
        const int cell = i / 2, sub = i % 2, y = top + cell / COLUMNS, x = left + cell % COLUMNS;
        if (y >= a.h || x >= a.w) continue;
        float first[K] = {}, second[K] = {};
        attention(a.logits, a.logits_type, ((frame * a.h + y) * 2 + sub) * 2 * a.w + 2 * x, first, second);
        UPLIFT_UNROLL
        for (int k = 0; k < K; k++) {
          shared.weight[cell][k][2 * sub] = first[k];
          shared.weight[cell][k][2 * sub + 1] = second[k];
        }
        if (sub) continue;
        UPLIFT_UNROLL
        for (int k = 0; k < K; k++) {
          const int row = within(y + neighbours.y[k], a.h), column = within(x + neighbours.x[k], a.w);
          shared.place[cell][k] = ((frame * a.h + row) * a.w + column) * a.channels;
        }
      }
    });
    threads.each([&](int thread, State&) {
      const int lanes = a.channels / V;
      for (int i = thread; i < rows * columns * lanes; i += THREADS) {
        const int number = i / lanes, lane = i % lanes, row = number / columns, column = number % columns;
        const int cell = row * COLUMNS + column;
        float sum[4][V] = {};
        UPLIFT_UNROLL
        for (int k = 0; k < K; k++) {
          float value[V], weight[4];
          load<V>(static_cast<const T*>(a.values) + shared.place[cell][k] + lane * V, value);
          load<4>(shared.weight[cell][k], weight);
          UPLIFT_UNROLL
          for (int p = 0; p < 4; p++) {
            UPLIFT_UNROLL
            for (int v = 0; v < V; v++) sum[p][v] += weight[p] * value[v];
          }
        }
        UPLIFT_UNROLL
        for (int p = 0; p < 4; p++) {
          const int64_t y = (frame * a.h + top + row) * 2 + p / 2, x = 2 * (left + column) + p % 2;
          store<V>(sum[p], static_cast<T*>(a.out) + (y * 2 * a.w + x) * a.channels + lane * V);
        }
      }
    });
  }
};

// ------------------------------------------------------------------------------------------------- the last step as one

// One axis of PyTorch's bilinear resize with antialias and without aligned corners, from `in` to `out` pixels.
struct Axis {
  int in, out;

  UPLIFT_BOTH double scale() const { return static_cast<double>(in) / out; }

  UPLIFT_BOTH double support() const { return in == out ? 0 : in > out ? scale() : 1; }

  // The first of the pixels that output i reads, and how many they are.
  UPLIFT_BOTH int first(int i) const {
    if (in == out) return i;
    const int64_t low = static_cast<int64_t>(scale() * (i + 0.5) - support() + 0.5);
    return low > 0 ? static_cast<int>(low) : 0;
  }

  UPLIFT_BOTH int count(int i) const {
    if (in == out) return 1;
    const int64_t high = static_cast<int64_t>(scale() * (i + 0.5) + support() + 0.5);
    return static_cast<int>(high < in ? high : in) - first(i);
  }

  // The share, not yet divided by the sum of all, of the pixel that comes j-th.
  UPLIFT_BOTH double weight(int i, int j) const {
    if (in == out) return 1;
    const double distance = (first(i) + j + 0.5 - scale() * (i + 0.5)) / support();
    const double weight = 1 - (distance < 0 ? -distance : distance);
    return weight > 0 ? weight : 0;
  }

  // The most pixels that `n` outputs in a row read together.
  int span(int n) const {
    return std::min(in, in == out ? n : static_cast<int>((n - 1) * scale() + 2 * support() + 1 + 1e-6));
  }

  // The most cells of two pixels among them.
  int cells(int n) const { return std::min((in + 1) / 2, span(n) / 2 + 1); }
};

// `uplift::attend_resize`, `classify` and `classify_confidence`: what Attend computes, resized to rows.out x columns.out and
// finished, a tile of the output at a time, so that the map at the resolution of the logits never exists.
struct Resize {
  const void* logits;
  const void* values;
  void* out;         // values [N,C,H,W], or labels [N,H,W]: u8 up to 256 classes, else i32
  void* confidence;  // u8 [N,H,W], or null
  Type logits_type, type;
  bool labels;
  int neighbours, channels;
  Axis rows, columns;  // from 2h and 2w
  int64_t frames;
  int height, shift, taps;  // a tile's rows, the logarithm of its columns, and what an output reads along an axis

  static constexpr int PIXELS = 4;  // of the output that a thread finishes, at most

  // Picks the tile: a thread holds the weights of one cell, so it has at most as many cells as a block has threads. False
  // where a side is reduced to less than a fifteenth, and even the cells of a single output are more. Shared memory stays below
  // the 48 KB that every GPU gives without being asked.
  bool plan() {
    for (shift = 5; shift > 0 && columns.cells(1 << shift) > 20;) shift--;
    const int cells = columns.cells(1 << shift);
    for (height = 32; height > 1 && (rows.cells(height) > 32 || rows.cells(height) * cells > THREADS);) height--;
    const int tiles = (rows.out + height - 1) / height;
    height = (rows.out + tiles - 1) / tiles;  // of all the same height
    taps = std::max(rows.span(1), columns.span(1));
    return rows.scale() <= 15 && columns.scale() <= 15 && rows.cells(height) * cells <= THREADS;
  }
};

struct Tap {
  float weight;
  int at;  // the pixel, counted from the tile's first
};

// What becomes of the channels of an output pixel, which come four at a time: they are written, or the largest is kept.
struct Output {
  float best = -INFINITY, sum = 0;  // of exp(x - best)
  int label = 0;

  UPLIFT_BOTH void take(const Resize& a, const float (&x)[4], int channel, int64_t frame, int row, int column) {
    const int count = a.channels - channel;
    if (!a.labels) {
      UPLIFT_UNROLL
      for (int i = 0; i < 4; i++) {
        if (i >= count) continue;
        const int64_t at = ((frame * a.channels + channel + i) * a.rows.out + row) * a.columns.out + column;
        if (a.type == Type::FLOAT) from_float(x[i], static_cast<float*>(a.out)[at]);
        if (a.type == Type::HALF) from_float(x[i], static_cast<Half*>(a.out)[at]);
        if (a.type == Type::BFLOAT16) from_float(x[i], static_cast<BFloat16*>(a.out)[at]);
      }
      return;
    }
    const float before = best;
    UPLIFT_UNROLL
    for (int i = 0; i < 4; i++) {
      if (i < count && x[i] > best) {
        best = x[i];
        label = channel + i;
      }
    }
    if (a.confidence == nullptr) return;
    if (best > before) sum *= expf(before - best);
    UPLIFT_UNROLL
    for (int i = 0; i < 4; i++) sum += i < count ? expf(x[i] - best) : 0;
  }

  UPLIFT_BOTH void finish(const Resize& a, int64_t frame, int row, int column) const {
    if (!a.labels) return;
    const int64_t at = (frame * a.rows.out + row) * a.columns.out + column;
    if (a.channels <= 256) {
      static_cast<uint8_t*>(a.out)[at] = static_cast<uint8_t>(label);
    } else {
      static_cast<int32_t*>(a.out)[at] = label;
    }
    if (a.confidence != nullptr) static_cast<uint8_t*>(a.confidence)[at] = static_cast<uint8_t>(rintf(255 / sum));
  }
};

// TAPS: how many pixels an output reads along an axis, the missing ones with a weight of zero; 0: as many as there are.
template <int K, int TAPS>
struct ResizeBlock {
  static constexpr int REACH = Neighbours<K>::REACH, LOAD = 8;
  static constexpr int RESIDENT = K <= 17 ? 2 : 1;  // blocks whose registers a multiprocessor has at once

  Resize a;

  struct State {
    float weight[4][K];
    Output output[Resize::PIXELS];
  };

  int64_t tiles_down() const { return (a.rows.out + a.height - 1) / a.height; }

  int64_t tiles_across() const { return (a.columns.out + (1 << a.shift) - 1) >> a.shift; }

  int64_t blocks() const { return a.frames * tiles_down() * tiles_across(); }

  size_t shared() const {
    const int rows = a.rows.cells(a.height), columns = a.columns.cells(1 << a.shift);
    const size_t patch = static_cast<size_t>(rows + 2 * REACH) * (columns + 2 * REACH) * LOAD;
    return (patch + 16 * rows * columns) * sizeof(float) + (a.height + (1 << a.shift)) * taps() * sizeof(Tap);
  }

  UPLIFT_BOTH int taps() const { return TAPS ? TAPS : a.taps; }

  template <class Threads>
  UPLIFT_BOTH void operator()(Threads& threads, int64_t block, void* memory) const {
    const int width = 1 << a.shift;
    const int64_t across = (a.columns.out + width - 1) >> a.shift, down = (a.rows.out + a.height - 1) / a.height;
    const int64_t frame = block / across / down;
    const int out_y = static_cast<int>(block / across % down) * a.height, out_x = static_cast<int>(block % across) * width;
    const int out_rows = out_y + a.height < a.rows.out ? a.height : a.rows.out - out_y;
    const int out_columns = out_x + width < a.columns.out ? width : a.columns.out - out_x;

    // The cells whose pixels the tile reads, and with what is around them the patch of values.
    const int h = a.rows.in / 2, w = a.columns.in / 2;
    const int top = a.rows.first(out_y) / 2, left = a.columns.first(out_x) / 2;
    const int last_y = out_y + out_rows - 1, last_x = out_x + out_columns - 1;
    const int cell_rows = (a.rows.first(last_y) + a.rows.count(last_y) - 1) / 2 + 1 - top;
    const int cell_columns = (a.columns.first(last_x) + a.columns.count(last_x) - 1) / 2 + 1 - left;
    const int pitch = cell_columns + 2 * REACH, patch_cells = (cell_rows + 2 * REACH) * pitch;

    float* patch = static_cast<float*>(memory);                   // [2][patch_cells][4]: four channels, and four more
    float* pixels = patch + patch_cells * LOAD;                   // [2 cell_rows][2 cell_columns][4]
    Tap* row_taps = reinterpret_cast<Tap*>(pixels + 16 * cell_rows * cell_columns);  // [height][taps]
    Tap* column_taps = row_taps + a.height * taps();              // [width][taps]

    threads.each([&](int thread, State& state) {
      for (int i = thread; i < out_rows; i += THREADS) place(a.rows, out_y + i, 2 * top, row_taps + i * taps());
      for (int i = thread; i < out_columns; i += THREADS) place(a.columns, out_x + i, 2 * left, column_taps + i * taps());
      if (thread >= cell_rows * cell_columns) return;
      const int y = top + thread / cell_columns, x = left + thread % cell_columns;
      const int64_t pixel = (frame * h + y) * 2 * a.columns.in + 2 * x;
      attention(a.logits, a.logits_type, pixel, state.weight[0], state.weight[1]);
      attention(a.logits, a.logits_type, pixel + a.columns.in, state.weight[2], state.weight[3]);
    });

    for (int channel = 0; channel < a.channels; channel += LOAD) {
      threads.each([&](int thread, State&) {
        // Each of 32 threads in a row has a channel, and four cells at a time have all eight of them.
        const int c = thread % LOAD;
        auto copy = [&](auto* values) {
          for (int row = thread / 32; row < cell_rows + 2 * REACH; row += THREADS / 32) {
            const int64_t line = (frame * h + within(top + row - REACH, h)) * w;
            for (int column = thread % 32 / LOAD; column < pitch; column += 32 / LOAD) {
              const int64_t at = (line + within(left + column - REACH, w)) * a.channels + channel + c;
              const float value = channel + c < a.channels ? to_float(values[at]) : 0;
              patch[(c / 4 * patch_cells + row * pitch + column) * 4 + c % 4] = value;
            }
          }
        };
        if (a.type == Type::FLOAT) copy(static_cast<const float*>(a.values));
        if (a.type == Type::HALF) copy(static_cast<const Half*>(a.values));
        if (a.type == Type::BFLOAT16) copy(static_cast<const BFloat16*>(a.values));
      });
      for (int part = 0; part < LOAD && channel + part < a.channels; part += 4) {
        threads.each([&](int thread, State& state) {
          constexpr Neighbours<K> neighbours;
          if (thread >= cell_rows * cell_columns) return;
          const int row = thread / cell_columns, column = thread % cell_columns;
          const float* centre = patch + (part / 4 * patch_cells + (row + REACH) * pitch + column + REACH) * 4;
          float sum[4][4] = {};
          UPLIFT_UNROLL
          for (int k = 0; k < K; k++) {
            float value[4];
            load<4>(centre + (neighbours.y[k] * pitch + neighbours.x[k]) * 4, value);
            UPLIFT_UNROLL
            for (int p = 0; p < 4; p++) {
              UPLIFT_UNROLL
              for (int v = 0; v < 4; v++) sum[p][v] += state.weight[p][k] * value[v];
            }
          }
          UPLIFT_UNROLL
          for (int p = 0; p < 4; p++) {
            store<4>(sum[p], pixels + ((2 * row + p / 2) * 2 * cell_columns + 2 * column + p % 2) * 4);
          }
        });
        threads.each([&](int thread, State& state) {
          UPLIFT_UNROLL
          for (int i = 0; i < Resize::PIXELS; i++) {
            const int row = (thread + i * THREADS) >> a.shift, column = thread & (width - 1);
            if (row >= out_rows || column >= out_columns) continue;
            float x[4] = {};
            read(pixels, 2 * cell_columns, row_taps + row * taps(), column_taps + column * taps(), x);
            state.output[i].take(a, x, channel + part, frame, out_y + row, out_x + column);
          }
        });
      }
    }
    threads.each([&](int thread, State& state) {
      UPLIFT_UNROLL
      for (int i = 0; i < Resize::PIXELS; i++) {
        const int row = (thread + i * THREADS) >> a.shift, column = thread & (width - 1);
        if (row < out_rows && column < out_columns) state.output[i].finish(a, frame, out_y + row, out_x + column);
      }
    });
  }

  // Where output i reads. What is missing to `taps` repeats the last pixel with no weight.
  UPLIFT_BOTH void place(const Axis& axis, int i, int origin, Tap* to) const {
    const int count = axis.count(i);
    double sum = 0;
    for (int j = 0; j < count; j++) sum += axis.weight(i, j);
    for (int j = 0; j < taps(); j++) {
      const int last = j < count ? j : count - 1;
      to[j] = {j < count ? static_cast<float>(axis.weight(i, j) / sum) : 0, axis.first(i) + last - origin};
    }
  }

  UPLIFT_BOTH void read(const float* pixels, int pitch, const Tap* rows, const Tap* columns, float (&x)[4]) const {
    auto add = [&](const Tap& row, const Tap& column) {
      const float weight = row.weight * column.weight;
      float value[4];
      load<4>(pixels + (row.at * pitch + column.at) * 4, value);
      UPLIFT_UNROLL
      for (int v = 0; v < 4; v++) x[v] += weight * value[v];
    };
    if constexpr (TAPS > 0) {
      Tap column[TAPS];
      UPLIFT_UNROLL
      for (int j = 0; j < TAPS; j++) column[j] = columns[j];
      UPLIFT_UNROLL
      for (int i = 0; i < TAPS; i++) {
        const Tap row = rows[i];
        UPLIFT_UNROLL
        for (int j = 0; j < TAPS; j++) add(row, column[j]);
      }
    } else {
      for (int i = 0; i < taps(); i++) {
        for (int j = 0; j < taps(); j++) add(rows[i], columns[j]);
      }
    }
  }
};

// ----------------------------------------------------------------------------------------------------- passes over maps

// The sums between convolutions, each in one pass over memory. A block makes one row of the output.
struct Pass {
  enum Kind {
    DOUBLED,   // first [N,H,W,C] + bias [C] + second [N,H/2,W/2,C], doubled bilinearly with aligned corners
    RESIDUAL,  // first [N,H,W,C] + bias [C] + every stride-th pixel of second [N,..,..,C'], the channels both have
    SAMPLED,   // every stride-th pixel of second
  };

  Kind kind;
  const void* first;
  const void* bias;
  const void* second;
  void* out;
  Type type;
  int height, width, channels;                        // of the output
  int second_height, second_width, second_channels, stride;
  int64_t frames;
};

template <class T, int V, Pass::Kind KIND>
struct PassBlock {
  static constexpr int RESIDENT = 1;

  Pass a;

  struct State {};

  int64_t blocks() const { return a.frames * a.height; }

  size_t shared() const { return 0; }

  template <class Threads>
  UPLIFT_BOTH void operator()(Threads& threads, int64_t block, void*) const {
    const int64_t frame = block / a.height;
    const int y = static_cast<int>(block % a.height);
    threads.each([&](int thread, State&) {
      const int lanes = a.channels / V;
      for (int i = thread; i < a.width * lanes; i += THREADS) {
        const int x = i / lanes, c = i % lanes * V;
        const int64_t at = (block * a.width + x) * a.channels + c;
        float sum[V] = {}, term[V];
        if constexpr (KIND != Pass::SAMPLED) {
          load<V>(static_cast<const T*>(a.first) + at, sum);
          load<V>(static_cast<const T*>(a.bias) + c, term);
          UPLIFT_UNROLL
          for (int v = 0; v < V; v++) sum[v] += term[v];
        }
        if constexpr (KIND == Pass::DOUBLED) {
          // As PyTorch computes positions, in fp32.
          const float down = static_cast<float>(a.second_height - 1) / (a.height - 1) * y;
          const float across = static_cast<float>(a.second_width - 1) / (a.width - 1) * x;
          const int top = static_cast<int>(down), left = static_cast<int>(across);
          const float share[2][2] = {{1 - (down - top), down - top}, {1 - (across - left), across - left}};
          UPLIFT_UNROLL
          for (int p = 0; p < 4; p++) {
            second(frame, within(top + p / 2, a.second_height), within(left + p % 2, a.second_width), c, term);
            UPLIFT_UNROLL
            for (int v = 0; v < V; v++) sum[v] += share[0][p / 2] * share[1][p % 2] * term[v];
          }
        } else if (c < a.second_channels) {
          second(frame, y * a.stride, x * a.stride, c, term);
          UPLIFT_UNROLL
          for (int v = 0; v < V; v++) sum[v] += term[v];
        }
        store<V>(sum, static_cast<T*>(a.out) + at);
      }
    });
  }

  UPLIFT_BOTH void second(int64_t frame, int y, int x, int c, float (&to)[V]) const {
    const int64_t pixel = (frame * a.second_height + y) * a.second_width + x;
    load<V>(static_cast<const T*>(a.second) + pixel * a.second_channels + c, to);
  }
};

// --------------------------------------------------------------------------------------------- which kernel a call needs

using Call = std::variant<Attend, Resize, Pass>;

template <int VALUE>
using Constant = std::integral_constant<int, VALUE>;

template <class F>
void with_type(Type type, F f) {
  if (type == Type::FLOAT) return f(float());
  if (type == Type::HALF) return f(Half());
  return f(BFloat16());
}

template <class F>
void with_neighbours(int neighbours, F f) {
  if (neighbours == 5) return f(Constant<5>());
  if (neighbours == 9) return f(Constant<9>());
  if (neighbours == 13) return f(Constant<13>());
  if (neighbours == 17) return f(Constant<17>());
  return f(Constant<25>());
}

// `run` takes a kernel. Sixteen bytes are read and written at once where the channels are a multiple of as many.
template <class Run>
void dispatch(const Attend& a, Run run) {
  with_neighbours(a.neighbours, [&](auto count) {
    with_type(a.type, [&](auto number) {
      using T = decltype(number);
      constexpr int K = decltype(count)::value, V = 16 / sizeof(T);
      if (a.channels % V == 0) return run(AttendBlock<K, T, V>{a});
      run(AttendBlock<K, T, 1>{a});
    });
  });
}

template <class Run>
void dispatch(const Resize& a, Run run) {
  with_neighbours(a.neighbours, [&](auto count) {
    constexpr int K = decltype(count)::value;
    if (a.taps == 2 || a.taps == 3) return run(ResizeBlock<K, 3>{a});
    run(ResizeBlock<K, 0>{a});
  });
}

template <class Run>
void dispatch(const Pass& a, Run run) {
  with_type(a.type, [&](auto number) {
    using T = decltype(number);
    auto with_width = [&](auto width) {
      constexpr int V = decltype(width)::value;
      if (a.kind == Pass::DOUBLED) return run(PassBlock<T, V, Pass::DOUBLED>{a});
      if (a.kind == Pass::RESIDUAL) return run(PassBlock<T, V, Pass::RESIDUAL>{a});
      run(PassBlock<T, V, Pass::SAMPLED>{a});
    };
    constexpr int V = 16 / sizeof(T);
    const bool whole = a.channels % V == 0 && a.second_channels % V == 0;
    if (whole) return with_width(Constant<V>());
    with_width(Constant<1>());
  });
}

// In cuda.cu. `stream` is a cudaStream_t; throws what CUDA says of a launch that fails.
void run_on_cuda(const Call& call, int device, void* stream);

}  // namespace uplift
