#include <atomic>
#include <cstdint>

#include "cpu/float_mode.h"
#include "cpu/handlers.h"
#include "cpu/huge_pages.h"
#include "cpu/instruction_set.h"
#include "cpu/parallel_for.h"
#include "ffi/layer_operands.h"
#include "ffi/profiler_range.h"

namespace ffi = xla::ffi;

namespace spikegrad {
namespace {

// Threads get whole cache lines of neurons, so that no two threads write to the same line.
constexpr int64_t kUnit = 64;

// Minimum elements (neurons times steps) in a piece. A sleeping thread takes about 100 us to wake up on a virtual
// machine, and threads fall asleep between two calls. Measured forward, interleaved with other work, in float: one
// thread was 1.9 times as fast as two at 1000 x 512, 1.4 times at 100 x 8192, and as fast at 500 x 2048.
constexpr int64_t kForwardGrain = 1 << 19;
constexpr int64_t kDerivativeGrain = 1 << 16;

template <class T, class Neuron>
const LayerElementKernels<T, Neuron>& kernels() {
  return best_instruction_set().of(Neuron{}).of(T{});
}

template <class Body>
void for_neurons(ffi::ThreadPool& pool, const LayerShape& shape, int64_t grain, Body body) {
  const int64_t neurons = shape.outer * shape.inner, units = (neurons + kUnit - 1) / kUnit;
  if (neurons == 0) return;
  // Pieces are as wide as possible, up to a block, with one piece for each thread that is worth waking.
  const int64_t threads = pool.num_threads() > 0 ? pool.num_threads() : 1, worth = neurons * shape.steps / grain;
  const int64_t pieces = worth < 1 ? 1 : worth < threads ? worth : threads, share = (units + pieces - 1) / pieces;
  const int64_t widest = pieces > 1 ? kBlock / kUnit : share;
  parallel_for(pool, units, share < widest ? share : widest, [neurons, body](int64_t begin, int64_t end) {
    const GradualUnderflow mode;
    const int64_t last = end * kUnit;
    body(begin * kUnit, last < neurons ? last : neurons);
  });
}

// Advises huge pages for a result with `rows` rows of neurons, unless it is null.
template <class T>
void advise_rows(T* data, const LayerShape& shape, int64_t rows) {
  if (data) advise_huge_pages(data, shape.outer * shape.inner * rows * static_cast<int64_t>(sizeof(T)));
}

template <class T, class Family>
Family prepared(const ParameterAddresses<Family>& addresses) {
  const GradualUnderflow mode;
  double values[ParameterAddresses<Family>::most] = {};
  for (int64_t i = 0; i < addresses.count; i++) values[i] = *static_cast<const Wide<T>*>(addresses.at[i]);
  Family g;
  prepare(g, values, addresses.count / Family::parameters, 0, Wide<T>{});
  return g;
}

template <class Neuron>
ffi::Error forward_handler(ffi::ThreadPool pool, ffi::RemainingArgs arguments, ffi::RemainingRets results,
                           ffi::Dictionary attributes) {
  const ProfilerRange range(kLayerNames<Neuron>.forward);
  return with_current(arguments, [&](auto element) {
    using T = decltype(element);
    LayerForward<T, Neuron> call;
    if (auto error = decode({arguments, results, attributes}, call); error.failure()) return error;
    const LayerShape& shape = call.layer.shape;
    advise_rows(call.spikes, shape, shape.steps);
    advise_rows(call.membrane, shape, shape.steps);
    for (Wide<T>* checkpoints : call.checkpoints) {
      if (checkpoints) advise_rows(checkpoints, shape, checkpoints_of(shape.steps, call.layer.every));
    }
    for_neurons(pool, shape, kForwardGrain,
                [call, run = kernels<T, Neuron>().forward](int64_t begin, int64_t end) { run(call, begin, end); });
    return ffi::Error::Success();
  });
}

// Calls use(call, g, element) with a decoded LayerTangent or LayerCotangent.
template <class Neuron, class Family, template <class, class> class Call, class Use>
ffi::Error with_derivative(ffi::RemainingArgs arguments, ffi::RemainingRets results, ffi::Dictionary attributes,
                           Use use) {
  return with_current(arguments, [&](auto element) {
    using T = decltype(element);
    Call<T, Neuron> call;
    ParameterAddresses<Family> parameters = {};
    if (auto error = decode({arguments, results, attributes}, call, parameters); error.failure()) return error;
    return use(call, prepared<T>(parameters), element);
  });
}

template <class Neuron, class Family>
ffi::Error tangent_handler(ffi::ThreadPool pool, ffi::RemainingArgs arguments, ffi::RemainingRets results,
                           ffi::Dictionary attributes) {
  const ProfilerRange range(kLayerNames<Neuron>.tangent);
  return with_derivative<Neuron, Family, LayerTangent>(
      arguments, results, attributes, [&](const auto& call, const Family& g, auto element) {
        const LayerShape& shape = call.layer.shape;
        advise_rows(call.spikes_dot, shape, shape.steps);
        advise_rows(call.membrane_dot, shape, shape.steps);
        for_neurons(pool, shape, kDerivativeGrain,
                    [call, g, run = kernels<decltype(element), Neuron>().of(g).tangent](int64_t begin, int64_t end) {
                      run(call, begin, end, g);
                    });
        return ffi::Error::Success();
      });
}

template <class Neuron, class Family>
ffi::Error cotangent_handler(ffi::ThreadPool pool, ffi::RemainingArgs arguments, ffi::RemainingRets results,
                             ffi::Dictionary attributes) {
  const ProfilerRange range(kLayerNames<Neuron>.cotangent);
  return with_derivative<Neuron, Family, LayerCotangent>(
      arguments, results, attributes, [&](const auto& call, const Family& g, auto element) {
        const LayerShape& shape = call.layer.shape;
        advise_rows(call.current_bar, shape, shape.steps);
        std::atomic<bool> complete{true};
        for_neurons(pool, shape, kDerivativeGrain,
                    [call, g, complete = &complete, run = kernels<decltype(element), Neuron>().of(g).cotangent](
                        int64_t begin, int64_t end) {
                      if (!run(call, begin, end, g)) *complete = false;
                    });
        if (complete) return ffi::Error::Success();
        return ffi::Error(
            ffi::ErrorCode::kResourceExhausted,
            "spikegrad: no memory for the steps between two checkpoints; a smaller checkpoint_every needs less");
      });
}

}  // namespace

#define SPIKEGRAD_BIND() ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().RemainingArgs().RemainingRets().Attrs()
#define SPIKEGRAD_DEFINE_DERIVATIVES(family, Family, neuron, Neuron)                                          \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(spikegrad_##neuron##_tangent_##family, (tangent_handler<Neuron, Family>),     \
                                SPIKEGRAD_BIND());                                                            \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(spikegrad_##neuron##_cotangent_##family, (cotangent_handler<Neuron, Family>), \
                                SPIKEGRAD_BIND());
#define SPIKEGRAD_DEFINE(neuron, Neuron)                                                        \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(spikegrad_##neuron, forward_handler<Neuron>, SPIKEGRAD_BIND()); \
  SPIKEGRAD_FOR_EACH_FAMILY(SPIKEGRAD_DEFINE_DERIVATIVES, neuron, Neuron)
SPIKEGRAD_FOR_EACH_NEURON(SPIKEGRAD_DEFINE)
#undef SPIKEGRAD_DEFINE
#undef SPIKEGRAD_DEFINE_DERIVATIVES
#undef SPIKEGRAD_BIND

}  // namespace spikegrad
