// The operators' CUDA side: launches, on the stream that PyTorch works on. It waits for nothing and reads nothing back, so
// that a CUDA graph can hold it.
#include <stdexcept>
#include <string>

#include "kernels.h"

namespace uplift {
namespace {

template <class State>
struct CudaThreads {
  State state;

  template <class Step>
  __device__ __forceinline__ void each(Step step) {
    step(static_cast<int>(threadIdx.x), state);
    __syncthreads();
  }
};

template <class Kernel>
__global__ void __launch_bounds__(THREADS, Kernel::RESIDENT) launch(const __grid_constant__ Kernel kernel) {
  extern __shared__ float4 shared[];
  CudaThreads<typename Kernel::State> threads;
  kernel(threads, blockIdx.x, shared);
}

void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  throw std::runtime_error(std::string("uplift operators: ") + what + ": " + cudaGetErrorString(error));
}

}  // namespace

void run_on_cuda(const Call& call, int device, void* stream) {
  // This library's own copy of the CUDA runtime has a current device of its own.
  check(cudaSetDevice(device), "choosing the device");
  auto run = [&](const auto& kernel) {
    const int64_t blocks = kernel.blocks();
    if (blocks == 0) return;
    if (blocks > INT32_MAX) throw std::runtime_error("uplift operators: more than 2^31 blocks (expected: fewer frames at a time)");
    launch<<<static_cast<unsigned>(blocks), THREADS, kernel.shared(), static_cast<cudaStream_t>(stream)>>>(kernel);
    check(cudaGetLastError(), "a launch");
  };
  std::visit([&](const auto& arguments) { dispatch(arguments, run); }, call);
}

}  // namespace uplift
