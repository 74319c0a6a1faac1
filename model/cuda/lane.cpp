// Lanes: how the JVM sends a device one call after the other without waiting between them. A lane is a stream of its own, memory
// of the host that the device reads and writes by itself, marks that tell times, and recordings (CUDA graphs) of what a call
// launches. Two lanes of a device work at the same time; a lane belongs to one thread at a time. A lane to the CPU copies at once
// and records nothing.
//
// A C interface: every function returns 0, or 1 after an error, which uplift_error tells this thread in a sentence.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <new>

#include "torch_abi.h"
#ifdef UPLIFT_CUDA
#include <cuda_runtime_api.h>
#endif

namespace uplift {
namespace {

constexpr int MARKS = 8;

thread_local std::string last_error;

struct Recording {
  virtual ~Recording() = default;
  virtual void replay() = 0;
};

struct Lane {
  virtual ~Lane() = default;
  virtual void enter() = 0;
  virtual void leave() = 0;
  virtual void* pinned(size_t bytes) = 0;
  virtual void copy(void* to, const void* from, size_t bytes) = 0;
  virtual void mark(int mark) = 0;
  virtual void await(int mark) = 0;
  virtual int64_t nanos(int from, int to) = 0;
  virtual void record() = 0;
  virtual std::unique_ptr<Recording> recorded() = 0;
};

class CpuLane final : public Lane {
 public:
  void enter() override {}

  void leave() override {}

  void* pinned(size_t bytes) override {
    memory_.emplace_back(std::malloc(bytes), std::free);
    if (memory_.back() == nullptr) throw std::bad_alloc();
    return memory_.back().get();
  }

  void copy(void* to, const void* from, size_t bytes) override { std::memcpy(to, from, bytes); }

  void mark(int mark) override { times_[mark] = std::chrono::steady_clock::now(); }

  void await(int) override {}

  int64_t nanos(int from, int to) override {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(times_[to] - times_[from]).count();
  }

  void record() override { expect(false, "a CPU records nothing (expected: a GPU)"); }

  std::unique_ptr<Recording> recorded() override { return nullptr; }

 private:
  std::vector<std::unique_ptr<void, void (*)(void*)>> memory_;
  std::chrono::steady_clock::time_point times_[MARKS];
};

#ifdef UPLIFT_CUDA
void check(cudaError_t error, const char* what) {
  if (error != cudaSuccess) cudaGetLastError();  // or a launch that comes later would be blamed for it
  expect(error == cudaSuccess, "CUDA error: ", what, ": ", cudaGetErrorString(error));
}

// PyTorch's own CUDA graph, since it keeps the graph's memory from everybody else's.
class CudaRecording final : public Recording {
 public:
  CudaRecording() {
    expect(
        (cuda_graph_create != nullptr || cuda_graph_create_keeping != nullptr) && cuda_graph_begin != nullptr &&
            cuda_graph_end != nullptr && cuda_graph_replay != nullptr && cuda_graph_pool != nullptr && cuda_graph_destroy != nullptr,
        "this libtorch has no CUDA graphs that are known here (expected: at::cuda::CUDAGraph as in PyTorch 2.13)");
    if (cuda_graph_create_keeping != nullptr) {
      cuda_graph_create_keeping(room_, false);
    } else {
      cuda_graph_create(room_);
    }
  }

  CudaRecording(const CudaRecording&) = delete;

  ~CudaRecording() override { cuda_graph_destroy(room_); }

  // Meanwhile models of other threads may load and run.
  void begin(MemoryPool pool) { cuda_graph_begin(room_, pool, cudaStreamCaptureModeThreadLocal); }

  void end() { cuda_graph_end(room_); }

  void replay() override { cuda_graph_replay(room_); }

  MemoryPool pool() { return cuda_graph_pool(room_); }

 private:
  alignas(64) std::byte room_[4096] = {};  // one takes 344 bytes in PyTorch 2.13
};

class CudaLane final : public Lane {
 public:
  explicit CudaLane(int device) : device_(device) {
    expect(
        aoti_torch_create_cuda_stream_guard != nullptr && aoti_torch_delete_cuda_stream_guard != nullptr,
        "this libtorch has no CUDA (expected: one built with it)");
    choose();
    // With a blocking stream any copy on the default stream, such as another thread's, would spoil a recording.
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream");
    // Whoever waits for one sleeps: the cores are for decoding.
    for (cudaEvent_t& event : events_) check(cudaEventCreateWithFlags(&event, cudaEventBlockingSync), "making an event");
  }

  CudaLane(const CudaLane&) = delete;

  ~CudaLane() override {
    cudaSetDevice(device_);
    for (void* memory : memory_) cudaFreeHost(memory);
    for (cudaEvent_t event : events_) cudaEventDestroy(event);
    cudaStreamDestroy(stream_);
  }

  void enter() override {
    expect(guard_ == nullptr, "the lane was entered before (expected: once, and left)");
    choose();
    done(aoti_torch_create_cuda_stream_guard(stream_, device_, &guard_));
  }

  void leave() override {
    if (guard_ != nullptr) done(aoti_torch_delete_cuda_stream_guard(std::exchange(guard_, nullptr)));
  }

  void* pinned(size_t bytes) override {
    void* memory;
    choose();
    check(cudaHostAlloc(&memory, bytes, cudaHostAllocDefault), "locking memory of the host");
    memory_.push_back(memory);
    return memory;
  }

  void copy(void* to, const void* from, size_t bytes) override {
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream_), "a copy");
  }

  void mark(int mark) override { check(cudaEventRecord(events_[mark], stream_), "a mark"); }

  void await(int mark) override { check(cudaEventSynchronize(events_[mark]), "waiting"); }

  int64_t nanos(int from, int to) override {
    float millis;
    check(cudaEventElapsedTime(&millis, events_[from], events_[to]), "reading times");
    return static_cast<int64_t>(millis * 1e6);
  }

  void record() override {
    auto begun = std::make_unique<CudaRecording>();
    begun->begin(pool_);
    recording_ = std::move(begun);
  }

  std::unique_ptr<Recording> recorded() override {
    expect(recording_ != nullptr, "nothing is being recorded (expected: record before)");
    std::unique_ptr<CudaRecording> ended = std::move(recording_);
    try {
      ended->end();
    } catch (...) {
      ended.release();  // PyTorch's allocator may ask it on, whether a stream is still recorded
      throw;
    }
    pool_ = ended->pool();
    return ended;
  }

 private:
  // This library's own copy of the CUDA runtime has a current device of its own.
  void choose() { check(cudaSetDevice(device_), "choosing the device"); }

  int device_;
  cudaStream_t stream_ = nullptr;
  cudaEvent_t events_[MARKS] = {};
  GuardHandle guard_ = nullptr;
  std::vector<void*> memory_;
  std::unique_ptr<CudaRecording> recording_;
  MemoryPool pool_{0, 0};  // of the first recording, for all, while it lives: they run one after the other
};
#endif

Lane* open(int device) {
  if (device < 0) return new CpuLane();
#ifdef UPLIFT_CUDA
  return new CudaLane(device);
#else
  expect(false, "this build of the uplift operators has no CUDA (expected: one made where nvcc is; model/cuda/README.md)");
  return nullptr;
#endif
}

int known(int mark) {
  expect(mark >= 0 && mark < MARKS, "mark ", mark, " (expected: 0 to ", MARKS - 1, ")");
  return mark;
}

template <class Body>
int guarded(Body body) {
  try {
    body();
    return 0;
  } catch (const std::exception& error) {
    last_error = error.what();
    last_error.resize(std::min(last_error.size(), last_error.find('\n')));  // libtorch's go on with a stack trace
    return 1;
  }
}

}  // namespace
}  // namespace uplift

using namespace uplift;

#pragma GCC visibility push(default)
extern "C" {

const char* uplift_error() { return last_error.c_str(); }

// Opens a lane to the GPU of this number, or to the CPU: -1.
int uplift_lane_open(int device, Lane** lane) {
  return guarded([&] { *lane = open(device); });
}

int uplift_lane_close(Lane* lane) {
  return guarded([&] { delete lane; });
}

// What PyTorch launches from this thread goes along the lane from now on, until uplift_lane_leave.
int uplift_lane_enter(Lane* lane) {
  return guarded([&] { lane->enter(); });
}

int uplift_lane_leave(Lane* lane) {
  return guarded([&] { lane->leave(); });
}

// Memory of the host, which lives as long as the lane.
int uplift_lane_pinned(Lane* lane, int64_t bytes, void** memory) {
  return guarded([&] { *memory = lane->pinned(static_cast<size_t>(bytes)); });
}

// Copies from host to device or back, once what went along the lane before is done.
int uplift_lane_copy(Lane* lane, void* to, const void* from, int64_t bytes) {
  return guarded([&] { lane->copy(to, from, static_cast<size_t>(bytes)); });
}

// Marks this place of the lane, by a number from 0 to 7.
int uplift_lane_mark(Lane* lane, int mark) {
  return guarded([&] { lane->mark(known(mark)); });
}

// Waits until the lane has come to a mark.
int uplift_lane_await(Lane* lane, int mark) {
  return guarded([&] { lane->await(known(mark)); });
}

// The time between two marks that the lane has come to.
int uplift_lane_nanos(Lane* lane, int from, int to, int64_t* nanos) {
  return guarded([&] { *nanos = lane->nanos(known(from), known(to)); });
}

// What this thread launches along the lane, which it has entered, is from now on kept and not run, until uplift_lane_recorded.
int uplift_lane_record(Lane* lane) {
  return guarded([&] { lane->record(); });
}

// Ends a recording. All of a lane share their memory: what was freed when one was recorded, others may write to.
int uplift_lane_recorded(Lane* lane, Recording** recording) {
  return guarded([&] { *recording = lane->recorded().release(); });
}

// Launches what was recorded along the lane that this thread has entered.
int uplift_recording_replay(Recording* recording) {
  return guarded([&] { recording->replay(); });
}

int uplift_recording_delete(Recording* recording) {
  return guarded([&] { delete recording; });
}

// Where the numbers of a tensor are; its handle is an at::Tensor*, as DJL has it.
int uplift_tensor_data(TensorHandle tensor, void** data) {
  return guarded([&] { done(aoti_torch_get_data_ptr(tensor, data)); });
}

}  // extern "C"
#pragma GCC visibility pop
