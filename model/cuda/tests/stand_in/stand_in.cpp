// A GPU that is none, for the tests of lane.cpp: it writes down what it is told, in an order that a test reads, and fails where a
// test says so. Of PyTorch it has the stream's guard and the CUDA graph.
#include "cuda_runtime_api.h"

#include <cstring>
#include <string>

#include "../../torch_abi.h"

struct Stream {};
struct Event {
  int number;
};

namespace {
std::string story, failing;
Event events[64];
int made;

bool fails(const std::string& call) { return call.substr(0, call.find(' ')) == failing; }

cudaError_t told(const std::string& call) {
  story += call + "\n";
  return fails(call) ? cudaErrorUnknown : cudaSuccess;
}

void told_torch(const std::string& call) {
  if (told(call) != cudaSuccess) throw std::runtime_error(call + " goes wrong\nand here it stands");
}

int pool_of(void* graph) { return *static_cast<int*>(graph); }
}  // namespace

extern "C" {
const char* stand_in_story() {
  static std::string last;
  last = std::move(story);
  story.clear();
  return last.c_str();
}

void stand_in_fail(const char* call) { failing = call; }

const char* cudaGetErrorString(cudaError_t) { return "the stand-in fails"; }

cudaError_t cudaGetLastError() { return told("cleared"); }

cudaError_t cudaSetDevice(int device) { return told("device " + std::to_string(device)); }

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new Stream;
  return told("stream");
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return told("stream-destroyed");
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  events[made].number = made % 8;
  *event = &events[made++ % 64];
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t) { return cudaSuccess; }

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) { return told("mark " + std::to_string(event->number)); }

cudaError_t cudaEventSynchronize(cudaEvent_t event) { return told("await " + std::to_string(event->number)); }

cudaError_t cudaEventElapsedTime(float* millis, cudaEvent_t from, cudaEvent_t to) {
  *millis = 1.5f * static_cast<float>(to->number - from->number);
  return told("nanos");
}

cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned) {
  *memory = std::malloc(bytes);
  return told("pinned " + std::to_string(bytes));
}

cudaError_t cudaFreeHost(void* memory) {
  std::free(memory);
  return told("pinned-freed");
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t) {
  std::memcpy(to, from, bytes);
  return told("copy " + std::to_string(bytes));
}

int32_t aoti_torch_create_cuda_stream_guard(void*, int32_t device, GuardHandle* guard) {
  *guard = reinterpret_cast<GuardHandle>(new int);
  return told("enter " + std::to_string(device));
}

int32_t aoti_torch_delete_cuda_stream_guard(GuardHandle guard) {
  delete reinterpret_cast<int*>(guard);
  return told("leave");
}

int32_t aoti_torch_get_data_ptr(TensorHandle, void**) { return 1; }
}

void cuda_graph_create_keeping(void* graph, bool) {
  std::memset(graph, 0, 344);
  told("graph");
}

void cuda_graph_destroy(void*) { told("graph-destroyed"); }

void cuda_graph_begin(void* graph, MemoryPool pool, int mode) {
  static int pools;
  *static_cast<int*>(graph) = pool.first == 0 ? ++pools : static_cast<int>(pool.first);
  told_torch("record " + std::string(pool.first == 0 ? "new" : "shared") + " " + std::to_string(mode));
}

void cuda_graph_end(void*) { told_torch("recorded"); }

void cuda_graph_replay(void*) { told_torch("replay"); }

MemoryPool cuda_graph_pool(void* graph) { return {static_cast<unsigned long long>(pool_of(graph)), 0}; }
