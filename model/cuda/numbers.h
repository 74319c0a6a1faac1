// The numbers that kernels compute with: fp32, and the halves that are read and written.
#pragma once

#include <cstdint>
#include <cstring>

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

}  // namespace uplift
