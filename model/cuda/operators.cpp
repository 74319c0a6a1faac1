// The operators' schemas, the checks of what they are given, and their CPU side.
#include <cstdio>
#include <memory>
#include <optional>

#include "kernels.h"
#include "torch_abi.h"

namespace uplift {
namespace {

// Runs a block's threads one after the other, step by step: in every other block backwards, so that a step whose threads need
// each other's results, a race on a GPU, is wrong here as well.
template <class State>
struct LoopedThreads {
  bool backwards;
  std::vector<State> states = std::vector<State>(THREADS);

  template <class Step>
  void each(Step step) {
    for (int i = 0; i < THREADS; i++) {
      const int thread = backwards ? THREADS - 1 - i : i;
      step(thread, states[thread]);
    }
  }
};

void run_on_cpu(const Call& call) {
  std::visit(
      [](const auto& arguments) {
        dispatch(arguments, [](const auto& kernel) {
          std::vector<Pack<float, 4>> shared(kernel.shared() / sizeof(Pack<float, 4>) + 1);
          for (int64_t block = 0; block < kernel.blocks(); block++) {
            LoopedThreads<typename std::decay_t<decltype(kernel)>::State> threads{block % 2 == 1};
            kernel(threads, block, shared.data());
          }
        });
      },
      call);
}

// An argument, checked: a map [N,H,W,C] or a vector [C], contiguous, in one of three types.
struct Argument {
  const char* name;
  Tensor tensor;
  Sizes sizes = tensor.sizes();
  int32_t dtype = tensor.dtype();

  Argument(const char* name, uint64_t word, size_t dimensions) : name(name), tensor(word) {
    expect(
        sizes.size() == dimensions, name, ": shape ", text(sizes), " (expected: ", dimensions, " dimensions, ",
        dimensions == 4 ? "[N,H,W,C])" : "[C])");
    expect(tensor.contiguous(), name, ": a view of shape ", text(sizes), " (expected: contiguous memory)");
    for (size_t i = 1; i < dimensions; i++) {
      expect(sizes[i] > 0 && sizes[i] < 1 << 28, name, ": shape ", text(sizes), " (expected: sizes of 1 to ", (1 << 28) - 1, ")");
    }
    expect(
        dtype == aoti_torch_dtype_float32() || dtype == aoti_torch_dtype_float16() || dtype == aoti_torch_dtype_bfloat16(), name,
        ": type number ", dtype, " of PyTorch (expected: float32, float16 or bfloat16)");
    expect(
        reinterpret_cast<uintptr_t>(tensor.data()) % 16 == 0, name,
        ": memory that begins between two multiples of 16 bytes (expected: at one, as of every tensor that is not a part of another)");
  }

  int size(int i) const { return static_cast<int>(sizes[i]); }

  Type type() const {
    if (dtype == aoti_torch_dtype_float32()) return Type::FLOAT;
    return dtype == aoti_torch_dtype_float16() ? Type::HALF : Type::BFLOAT16;
  }

  void on_device_of(const Argument& other) const {
    expect(
        tensor.device_type() == other.tensor.device_type() && tensor.device_index() == other.tensor.device_index(), name,
        ": on another device than ", other.name, " (expected: the same)");
  }

  void like(const Argument& other) const {
    on_device_of(other);
    expect(dtype == other.dtype, name, ": another type than ", other.name, " (expected: the same)");
  }

  void shape(const Sizes& expected) const {
    expect(sizes == expected, name, ": shape ", text(sizes), " (expected: ", text(expected), ")");
  }

  Tensor output(const Sizes& sizes, int32_t dtype) const {
    return Tensor(sizes, dtype, tensor.device_type(), tensor.device_index());
  }
};

void run(const Call& call, const Argument& first) {
  if (first.tensor.device_type() != aoti_torch_device_type_cuda()) return run_on_cpu(call);
#ifdef UPLIFT_CUDA
  expect(aoti_torch_get_current_cuda_stream != nullptr, "this libtorch has no CUDA, which its tensors are on");
  const int32_t device = first.tensor.device_index();
  GuardHandle guard;
  void* stream;
  done(aoti_torch_create_cuda_guard(device, &guard));
  const std::unique_ptr<CUDAGuardOpaque, int32_t (*)(GuardHandle)> kept(guard, aoti_torch_delete_cuda_guard);
  done(aoti_torch_get_current_cuda_stream(device, &stream));
  run_on_cuda(call, device, stream);
#else
  expect(false, "this build of the uplift operators has no CUDA (expected: one made where nvcc is; model/cuda/README.md)");
#endif
}

int neighbours(const Argument& logits, const Argument& values) {
  logits.on_device_of(values);
  const int64_t n = logits.sizes[3];
  expect(
      n == 5 || n == 9 || n == 13 || n == 17 || n == 25, "logits: ", n, " channels (expected: 5, 9, 13, 17 or 25 neighbours)");
  logits.shape({values.sizes[0], 2 * values.sizes[1], 2 * values.sizes[2], n});
  return static_cast<int>(n);
}

void attend(uint64_t* stack, uint64_t, uint64_t) {
  const Argument logits("logits", stack[0], 4), values("values", stack[1], 4);
  const int n = neighbours(logits, values);
  Tensor out = values.output({logits.sizes[0], logits.sizes[1], logits.sizes[2], values.sizes[3]}, values.dtype);
  run(Attend{logits.tensor.data(), values.tensor.data(), out.data(), logits.type(), values.type(), n, values.size(1),
             values.size(2), values.size(3), values.sizes[0]},
      values);
  stack[0] = out.release();
}

void resize(uint64_t* stack, bool labels, bool with_confidence) {
  const Argument logits("logits", stack[0], 4), values("values", stack[1], 4);
  const int n = neighbours(logits, values);
  const int64_t height = static_cast<int64_t>(stack[2]), width = static_cast<int64_t>(stack[3]), frames = values.sizes[0];
  expect(
      height > 0 && width > 0 && height < 1 << 28 && width < 1 << 28, "size: ", height, "x", width, " (expected: both 1 to ",
      (1 << 28) - 1, ")");
  const Sizes map = {frames, height, width};
  std::optional<Tensor> confidence;
  if (with_confidence) confidence.emplace(values.output(map, aoti_torch_dtype_uint8()));
  const int32_t label = values.sizes[3] <= 256 ? aoti_torch_dtype_uint8() : aoti_torch_dtype_int32();
  Tensor out = labels ? values.output(map, label) : values.output({frames, values.sizes[3], height, width}, values.dtype);
  Resize call{logits.tensor.data(), values.tensor.data(), out.data(), confidence ? confidence->data() : nullptr, logits.type(),
              values.type(), labels, n, values.size(3), {logits.size(1), static_cast<int>(height)},
              {logits.size(2), static_cast<int>(width)}, frames, 0, 0, 0};
  expect(
      call.plan(), "size: ", height, "x", width, " of ", logits.sizes[1], "x", logits.sizes[2],
      " (expected: of either side no less than a fifteenth)");
  run(call, values);
  stack[0] = out.release();
  if (confidence) stack[1] = confidence->release();
}

void attend_resize(uint64_t* stack, uint64_t, uint64_t) { resize(stack, false, false); }

void classify(uint64_t* stack, uint64_t, uint64_t) { resize(stack, true, false); }

void classify_confidence(uint64_t* stack, uint64_t, uint64_t) { resize(stack, true, true); }

Pass pass(Pass::Kind kind, const Argument& second, int64_t height, int64_t width, int64_t channels, int stride) {
  Pass pass{};
  pass.kind = kind;
  pass.second = second.tensor.data();
  pass.type = second.type();
  pass.frames = second.sizes[0];
  pass.height = static_cast<int>(height);
  pass.width = static_cast<int>(width);
  pass.channels = static_cast<int>(channels);
  pass.second_height = second.size(1);
  pass.second_width = second.size(2);
  pass.second_channels = second.size(3);
  pass.stride = stride;
  expect(width * channels < 1 << 30, "a row of ", width, " pixels of ", channels, " channels (expected: less than 2^30 values)");
  return pass;
}

void sum(uint64_t* stack, Pass::Kind kind, const Argument& second, const Sizes& expected, int stride) {
  const Argument first("x", stack[0], 4), bias("bias", stack[1], 1);
  first.like(second);
  bias.like(first);
  bias.shape({first.sizes[3]});
  first.shape({expected[0], expected[1], expected[2], kind == Pass::DOUBLED ? expected[3] : first.sizes[3]});
  Pass call = pass(kind, second, first.sizes[1], first.sizes[2], first.sizes[3], stride);
  Tensor out = first.output(first.sizes, first.dtype);
  call.first = first.tensor.data();
  call.bias = bias.tensor.data();
  call.out = out.data();
  run(call, first);
  stack[0] = out.release();
}

int stride(uint64_t word) {
  const int64_t stride = static_cast<int64_t>(word);
  expect(stride > 0 && stride < 1 << 16, "stride: ", stride, " (expected: 1 to ", (1 << 16) - 1, ")");
  return static_cast<int>(stride);
}

Sizes strided(const Argument& map, int stride) {
  return {map.sizes[0], (map.sizes[1] + stride - 1) / stride, (map.sizes[2] + stride - 1) / stride, map.sizes[3]};
}

void add_doubled(uint64_t* stack, uint64_t, uint64_t) {
  const Argument half("half", stack[2], 4);
  sum(stack, Pass::DOUBLED, half, {half.sizes[0], 2 * half.sizes[1], 2 * half.sizes[2], half.sizes[3]}, 1);
}

void add_residual(uint64_t* stack, uint64_t, uint64_t) {
  const Argument residual("residual", stack[2], 4);
  const int step = stride(stack[3]);
  sum(stack, Pass::RESIDUAL, residual, strided(residual, step), step);
}

void sample(uint64_t* stack, uint64_t, uint64_t) {
  const Argument map("x", stack[0], 4);
  const int step = stride(stack[1]);
  const Sizes sizes = strided(map, step);
  Tensor out = map.output(sizes, map.dtype);
  Pass call = pass(Pass::SAMPLED, map, sizes[1], sizes[2], sizes[3], step);
  call.out = out.data();
  run(call, map);
  stack[0] = out.release();
}

struct Operator {
  const char* name;
  const char* schema;
  void (*function)(uint64_t*, uint64_t, uint64_t);
};

constexpr Operator OPERATORS[] = {
    {"attend", "attend(Tensor logits, Tensor values) -> Tensor", attend},
    {"attend_resize", "attend_resize(Tensor logits, Tensor values, int height, int width) -> Tensor", attend_resize},
    {"classify", "classify(Tensor logits, Tensor values, int height, int width) -> Tensor", classify},
    {"classify_confidence",
     "classify_confidence(Tensor logits, Tensor values, int height, int width) -> (Tensor, Tensor)", classify_confidence},
    {"add_doubled", "add_doubled(Tensor x, Tensor bias, Tensor half) -> Tensor", add_doubled},
    {"add_residual", "add_residual(Tensor x, Tensor bias, Tensor residual, int stride) -> Tensor", add_residual},
    {"sample", "sample(Tensor x, int stride) -> Tensor", sample},
};

// Runs as the library is loaded, where an exception would end the process. Without operators a graph that calls one does not
// load, and says which.
[[maybe_unused]] const bool REGISTERED = [] {
  LibraryHandle definitions, cpu, cuda;  // kept for as long as the process lives
  bool right = aoti_torch_library_init_def("uplift", __FILE__, __LINE__, &definitions) == 0 &&
      aoti_torch_library_init_impl("uplift", "CPU", __FILE__, __LINE__, &cpu) == 0 &&
      aoti_torch_library_init_impl("uplift", "CUDA", __FILE__, __LINE__, &cuda) == 0;
  for (const Operator& each : OPERATORS) {
    right = right && aoti_torch_library_def(definitions, each.schema) == 0 &&
        aoti_torch_library_impl(cpu, each.name, each.function) == 0 &&
        aoti_torch_library_impl(cuda, each.name, each.function) == 0;
  }
  if (!right) std::fputs("uplift operators: not registered; what libtorch says of it stands above\n", stderr);
  return right;
}();

}  // namespace
}  // namespace uplift
