// The last step as one: the attention pool, its resize, and a label of each pixel.
#pragma once

#include <algorithm>

#include "attention.h"

namespace uplift {

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
  void* out;         // values [N,C,H,W], or labels [N,H,W]: u8 up to 256 classes, else i32; 255 where the largest is not finite
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
      if (i < count && best == best && !(x[i] <= best)) {  // a NaN is kept
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
    const bool finite = fabsf(best) < INFINITY;
    if (a.channels <= 256) {
      static_cast<uint8_t*>(a.out)[at] = static_cast<uint8_t>(finite ? label : 255);
    } else {
      static_cast<int32_t*>(a.out)[at] = finite ? label : 255;
    }
    if (a.confidence != nullptr) static_cast<uint8_t*>(a.confidence)[at] = finite ? static_cast<uint8_t>(rintf(255 / sum)) : 0;
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

}  // namespace uplift
