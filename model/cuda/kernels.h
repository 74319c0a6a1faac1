// The operators' arithmetic, once for GPU and CPU.
//
// A kernel is the work of one block of threads, written as steps: `threads.each` runs a step for every thread, and all have
// finished it before the next begins. On a GPU that is a barrier, on a CPU a loop (cuda.cu and operators.cpp), so that what
// a CPU computes and tests is what a GPU runs, tiles and indices included. Maps are rows of pixels, each a row of channels:
// [N,H,W,C]. Sums are fp32; positions in memory have 64 bits.
#pragma once

#include <type_traits>
#include <variant>

#include "resize.h"

namespace uplift {

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
