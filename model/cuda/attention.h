// The attention pool: a softmax over logits, and the mean of a cell's neighbours by its weights.
#pragma once

#include <cmath>

#include "numbers.h"

namespace uplift {

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

}  // namespace uplift
