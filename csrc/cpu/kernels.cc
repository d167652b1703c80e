// Compiled per instruction set (vectorise.h). Only the table may have external linkage, which the build checks.
#include "cpu/kernels.h"

#include <type_traits>

#include "cpu/conversion_loops.h"
#include "cpu/value_loops.h"
#include "cpu/vectorise.h"
#include "math/element.h"
#include "math/heaviside.h"

namespace spikegrad::SPIKEGRAD_INSTRUCTION_SET {
namespace {

template <class T>
void heaviside_loop(const T* x, T* out, int64_t size) {
  // Two instructions an element: without unrolling, the loop counter would take a third of the time.
  SPIKEGRAD_VECTORISE
  SPIKEGRAD_UNROLL
  for (int64_t i = 0; i < size; i++) out[i] = heaviside(x[i]);
}

// Order 0 of float and double, one strip at a time.
template <class T, bool kScalarT, class Value>
void value_loop(const T* x, const T* t, T* out, int64_t size, const Value& shared) {
  // Copy g and t[0]: the compiler must assume that a store to `out` may change anything behind a reference or pointer.
  const Value g = shared;
  const T scalar_t = kScalarT ? t[0] : T{};
  Powers<T, Value> powers;
  for (int64_t begin = 0; begin < size; begin += kStrip) {
    const int64_t count = size - begin < kStrip ? size - begin : kStrip;
    reduce_loop([x, begin](int64_t i) { return x[begin + i]; }, count, g, powers);
    for (int k = 0; k < Value::powers; k++) exp2_minus_one_loop(powers.change[k], count);
    SPIKEGRAD_VECTORISE
    for (int64_t i = 0; i < count; i++) {
      out[begin + i] = finish_at(x[begin + i], kScalarT ? scalar_t : t[begin + i], i, g, powers);
    }
  }
}

// Order 0 of float16 and bfloat16, in blocks of float that fit into the first-level cache.
template <class Half, bool kScalarT, class Value>
void half_value_loop(const Half* x, const Half* t, Half* out, int64_t size, const Value& g) {
  float wide_x[kStrip], wide_t[kStrip];
  if (kScalarT) wide_t[0] = widen(t[0]);
  for (int64_t begin = 0; begin < size; begin += kStrip) {
    const int64_t count = size - begin < kStrip ? size - begin : kStrip;
    widen_loop(x + begin, wide_x, count);
    if (!kScalarT) widen_loop(t + begin, wide_t, count);
    value_loop<float, kScalarT>(wide_x, wide_t, wide_x, count, g);
    narrow_loop(wide_x, out + begin, count);
  }
}

constexpr int64_t kAnyOrder = -1;

// One block of any order, one term at a time, in double: so cancellation between terms or within a polynomial does not
// affect a float result.
template <int64_t kOrder, class Family>
void term_block(const double* x, const double* t, double* sum, int64_t count, const Family& shared) {
  const Family g = shared;
  const int64_t order = kOrder == kAnyOrder ? g.order : kOrder;
  SPIKEGRAD_VECTORISE
  for (int64_t i = 0; i < count; i++) sum[i] = term(x[i], t[i], 0, g, order);
  for (int64_t k = 1; k < g.terms; k++) {
    SPIKEGRAD_VECTORISE
    for (int64_t i = 0; i < count; i++) sum[i] += term(x[i], t[i], k, g, order);
  }
}

// Orders 1 to 3 (the Hessian, and the gradients of order 0 and 1 with respect to sigma) have specialised loops. With a
// constant order the recurrences unroll and the loop vectorises, which is 6x faster.
template <class Family>
void term_block(const double* x, const double* t, double* sum, int64_t count, const Family& g) {
  switch (g.order) {
    case 0:
      return term_block<0>(x, t, sum, count, g);
    case 1:
      return term_block<1>(x, t, sum, count, g);
    case 2:
      return term_block<2>(x, t, sum, count, g);
    case 3:
      return term_block<3>(x, t, sum, count, g);
    default:
      return term_block<kAnyOrder>(x, t, sum, count, g);
  }
}

template <class T, bool kScalarT, class Family>
void term_loop(const T* x, const T* t, T* out, int64_t size, const Family& g) {
  const double scalar_t = kScalarT ? widen(t[0]) : 0;
  double wide_x[kStrip], wide_t[kStrip], sum[kStrip];
  for (int64_t begin = 0; begin < size; begin += kStrip) {
    const int64_t count = size - begin < kStrip ? size - begin : kStrip;
    SPIKEGRAD_VECTORISE
    for (int64_t i = 0; i < count; i++) {
      wide_x[i] = widen(x[begin + i]);
      wide_t[i] = parted(kScalarT ? scalar_t : widen(t[begin + i])).finite;
    }
    term_block(wide_x, wide_t, sum, count, g);
    SPIKEGRAD_VECTORISE
    for (int64_t i = 0; i < count; i++) {
      const double rest = parted(kScalarT ? scalar_t : widen(t[begin + i])).rest;
      out[begin + i] = narrow(static_cast<Wide<T>>(sum[i] * rest), T{});
    }
  }
}

template <class T, bool kScalarT, class Family>
void derivative(const T* x, const T* t, T* out, int64_t size, const Family& g) {
  if (g.order == 0) {
    const bool done = with_value(g, Wide<T>{}, [&](const auto& value) {
      if constexpr (!std::is_same_v<T, Wide<T>>) {
        half_value_loop<T, kScalarT>(x, t, out, size, value);
      } else {
        value_loop<T, kScalarT>(x, t, out, size, value);
      }
    });
    if (done) return;
  }
  term_loop<T, kScalarT>(x, t, out, size, g);
}

template <class T>
constexpr ElementKernels<T> table() {
#define SPIKEGRAD_ENTRY(name, Family) {&derivative<T, false, Family>, &derivative<T, true, Family>},
  return {&heaviside_loop<T>, SPIKEGRAD_FOR_EACH_FAMILY(SPIKEGRAD_ENTRY)};
#undef SPIKEGRAD_ENTRY
}

}  // namespace

#define SPIKEGRAD_ENTRY(name, T, ...) table<T>(),
const Kernels kernels = {SPIKEGRAD_FOR_EACH_DTYPE(SPIKEGRAD_ENTRY)};
#undef SPIKEGRAD_ENTRY

}  // namespace spikegrad::SPIKEGRAD_INSTRUCTION_SET
