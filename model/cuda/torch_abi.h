// The part of libtorch's C interface that is used here (torch/csrc/inductor/aoti_torch/c/shim.h), declared anew.
//
// PyTorch keeps these functions as they are from release to release, so that one build serves every libtorch from 2.7 on and
// needs none of its headers. An operator is a function of a stack of 64-bit words: an int as it is, a tensor as a handle that
// the callee owns.
#pragma once

#include <cstdint>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

extern "C" {
using TensorHandle = struct AtenTensorOpaque*;
using LibraryHandle = struct TorchLibraryOpaque*;
using GuardHandle = struct CUDAGuardOpaque*;

int32_t aoti_torch_dtype_float32();
int32_t aoti_torch_dtype_float16();
int32_t aoti_torch_dtype_bfloat16();
int32_t aoti_torch_dtype_uint8();
int32_t aoti_torch_dtype_int32();
int32_t aoti_torch_device_type_cuda();

// What follows returns 0, or another number after it has written what went wrong to the process's log.
int32_t aoti_torch_delete_tensor_object(TensorHandle);
int32_t aoti_torch_get_data_ptr(TensorHandle, void** borrowed);
int32_t aoti_torch_get_dim(TensorHandle, int64_t*);
int32_t aoti_torch_get_sizes(TensorHandle, int64_t** borrowed);
int32_t aoti_torch_get_strides(TensorHandle, int64_t** borrowed);
int32_t aoti_torch_get_dtype(TensorHandle, int32_t*);
int32_t aoti_torch_get_device_type(TensorHandle, int32_t*);
int32_t aoti_torch_get_device_index(TensorHandle, int32_t*);
int32_t aoti_torch_empty_strided(
    int64_t dimensions, const int64_t* sizes, const int64_t* strides, int32_t dtype, int32_t device_type, int32_t device_index,
    TensorHandle*);
int32_t aoti_torch_library_init_def(const char* name, const char* file, uint32_t line, LibraryHandle*);
int32_t aoti_torch_library_init_impl(const char* name, const char* key, const char* file, uint32_t line, LibraryHandle*);
int32_t aoti_torch_library_def(LibraryHandle, const char* schema);
int32_t aoti_torch_library_impl(LibraryHandle, const char* name, void (*)(uint64_t* stack, uint64_t in, uint64_t out));

// In libtorch_cuda.so: null in a libtorch that is built for CPUs.
__attribute__((weak)) int32_t aoti_torch_create_cuda_guard(int32_t device_index, GuardHandle*);
__attribute__((weak)) int32_t aoti_torch_delete_cuda_guard(GuardHandle);
__attribute__((weak)) int32_t aoti_torch_get_current_cuda_stream(int32_t device_index, void** stream);
__attribute__((weak)) int32_t aoti_torch_create_cuda_stream_guard(void* stream, int32_t device_index, GuardHandle*);
__attribute__((weak)) int32_t aoti_torch_delete_cuda_stream_guard(GuardHandle);
}

// at::cuda::CUDAGraph (ATen/cuda/CUDAGraph.h), which the C interface does not have: its functions by the names that a C++
// compiler gives them. They are those of the headers of 2.13; older ones have no flag where a graph is made.
using MemoryPool = std::pair<unsigned long long, unsigned long long>;
__attribute__((weak)) void cuda_graph_create(void* graph) __asm__("_ZN2at4cuda9CUDAGraphC1Ev");
__attribute__((weak)) void cuda_graph_create_keeping(void* graph, bool keep) __asm__("_ZN2at4cuda9CUDAGraphC1Eb");
__attribute__((weak)) void cuda_graph_destroy(void* graph) __asm__("_ZN2at4cuda9CUDAGraphD1Ev");
__attribute__((weak)) void cuda_graph_begin(void* graph, MemoryPool, int capture_mode)
    __asm__("_ZN2at4cuda9CUDAGraph13capture_beginESt4pairIyyE21cudaStreamCaptureMode");
__attribute__((weak)) void cuda_graph_end(void* graph) __asm__("_ZN2at4cuda9CUDAGraph11capture_endEv");
__attribute__((weak)) void cuda_graph_replay(void* graph) __asm__("_ZN2at4cuda9CUDAGraph6replayEv");
__attribute__((weak)) MemoryPool cuda_graph_pool(void* graph) __asm__("_ZN2at4cuda9CUDAGraph4poolEv");

namespace uplift {

// Throws the words as one sentence unless `right`; PyTorch hands it to the caller of the operator.
template <class... Words>
void expect(bool right, const Words&... words) {
  if (right) return;
  std::ostringstream sentence;
  (sentence << ... << words);
  throw std::runtime_error(sentence.str());
}

inline void done(int32_t error) { expect(error == 0, "libtorch refused a call; its own message is in the log"); }

using Sizes = std::vector<int64_t>;

inline std::string text(const Sizes& sizes) {
  std::ostringstream out;
  for (size_t i = 0; i < sizes.size(); i++) out << (i == 0 ? "[" : ",") << sizes[i];
  return out.str() + (sizes.empty() ? "[]" : "]");
}

class Tensor {
 public:
  explicit Tensor(uint64_t word) : handle_(reinterpret_cast<TensorHandle>(word)) {}

  Tensor(const Sizes& sizes, int32_t dtype, int32_t device_type, int32_t device_index) {
    Sizes strides(sizes.size(), 1);
    for (size_t i = sizes.size() - 1; i > 0; i--) strides[i - 1] = strides[i] * sizes[i];
    done(aoti_torch_empty_strided(
        static_cast<int64_t>(sizes.size()), sizes.data(), strides.data(), dtype, device_type, device_index, &handle_));
  }

  Tensor(Tensor&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}

  Tensor(const Tensor&) = delete;

  ~Tensor() {
    if (handle_ != nullptr) aoti_torch_delete_tensor_object(handle_);
  }

  uint64_t release() { return reinterpret_cast<uint64_t>(std::exchange(handle_, nullptr)); }

  void* data() const {
    void* data;
    done(aoti_torch_get_data_ptr(handle_, &data));
    return data;
  }

  Sizes sizes() const { return list(aoti_torch_get_sizes); }

  bool contiguous() const {
    const Sizes sizes = this->sizes(), strides = list(aoti_torch_get_strides);
    int64_t expected = 1;
    for (size_t i = sizes.size(); i-- > 0; expected *= sizes[i]) {
      if (sizes[i] != 1 && strides[i] != expected) return false;
    }
    return true;
  }

  int32_t dtype() const { return number(aoti_torch_get_dtype); }

  int32_t device_type() const { return number(aoti_torch_get_device_type); }

  int32_t device_index() const { return number(aoti_torch_get_device_index); }

 private:
  int32_t number(int32_t (*get)(TensorHandle, int32_t*)) const {
    int32_t number;
    done(get(handle_, &number));
    return number;
  }

  Sizes list(int32_t (*get)(TensorHandle, int64_t**)) const {
    int64_t dimensions, *borrowed;
    done(aoti_torch_get_dim(handle_, &dimensions));
    done(get(handle_, &borrowed));
    return Sizes(borrowed, borrowed + dimensions);
  }

  TensorHandle handle_ = nullptr;
};

}  // namespace uplift
