// For tests only: the scalar functions of math/ over NumPy arrays, and the kernels of every instruction set that this
// processor runs, without XLA between. Halves come and go as their bit patterns.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "cpu/instruction_set.h"
#include "math/gaussian.h"
#include "math/half.h"
#include "math/heaviside.h"

namespace py = pybind11;
using namespace spikegrad;

namespace {

// The type in which NumPy holds T, and back.
template <class T>
struct Held {
  using type = T;
  static T in(T x) { return x; }
  static T out(T x) { return x; }
};
template <class Half>
struct HeldAsBits {
  using type = uint16_t;
  static Half in(uint16_t x) { return {x}; }
  static uint16_t out(Half x) { return x.bits; }
};
template <>
struct Held<Float16> : HeldAsBits<Float16> {};
template <>
struct Held<BFloat16> : HeldAsBits<BFloat16> {};

template <class T>
void define(py::module_& m, const std::string& dtype, ElementKernels<T> Kernels::* table) {
  using H = Held<T>;
  using N = typename H::type;
  m.def(("heaviside_" + dtype).c_str(), py::vectorize([](N x) { return H::out(heaviside(H::in(x))); }));
  m.def(("gaussian_value_" + dtype).c_str(), py::vectorize([](N x, N t, double sigma, double alpha) {
          const PreparedGaussian g = prepare_gaussian(sigma, alpha, 0);
          return H::out(narrow(gaussian_value(widen(H::in(x)), widen(H::in(t)), value_of(g, T{})), T{}));
        }));
  m.def(("gaussian_derivative_" + dtype).c_str(),
        py::vectorize([](N x, N t, double sigma, double alpha, int64_t order) {
          const PreparedGaussian g = prepare_gaussian(sigma, alpha, order);
          return H::out(gaussian_derivative_element(H::in(x), H::in(t), g, order));
        }));

  m.def(("run_heaviside_" + dtype).c_str(), [table](const std::string& set, py::array_t<N> x) {
    for (const InstructionSet& candidate : available_instruction_sets()) {
      if (set != candidate.name) continue;
      py::array_t<N> out(x.size());
      (candidate.kernels->*table)
          .heaviside(reinterpret_cast<const T*>(x.data()), reinterpret_cast<T*>(out.mutable_data()), x.size());
      return out;
    }
    throw std::invalid_argument("no such instruction set here: " + set);
  });
  m.def(("run_gaussian_" + dtype).c_str(), [table](const std::string& set, py::array_t<N> x, py::array_t<N> t,
                                                   double sigma, double alpha, int64_t order, bool in_place) {
    for (const InstructionSet& candidate : available_instruction_sets()) {
      if (set != candidate.name) continue;
      const auto& kernels = candidate.kernels->*table;
      py::array_t<N> out = in_place ? x : py::array_t<N>(x.size());
      const bool scalar_t = t.ndim() == 0;
      if (!scalar_t && t.size() != x.size()) throw std::invalid_argument("t must have the size of x, or rank 0");
      (scalar_t ? kernels.gaussian_scalar : kernels.gaussian)(
          reinterpret_cast<const T*>(x.data()), reinterpret_cast<const T*>(t.data()),
          reinterpret_cast<T*>(out.mutable_data()), x.size(), prepare_gaussian(sigma, alpha, order));
      return out;
    }
    throw std::invalid_argument("no such instruction set here: " + set);
  });
}

}  // namespace

PYBIND11_MODULE(spikegrad_scalar, m) {
  define<Float16>(m, "f16", &Kernels::f16);
  define<BFloat16>(m, "bf16", &Kernels::bf16);
  define<float>(m, "f32", &Kernels::f32);
  define<double>(m, "f64", &Kernels::f64);
  m.def("widen_f16", py::vectorize([](uint16_t x) { return widen(Float16{x}); }));
  m.def("narrow_f16", py::vectorize([](float x) { return narrow(x, Float16{}).bits; }));
  m.def("widen_bf16", py::vectorize([](uint16_t x) { return widen(BFloat16{x}); }));
  m.def("narrow_bf16", py::vectorize([](float x) { return narrow(x, BFloat16{}).bits; }));
  m.def("instruction_sets", [] {
    std::vector<std::string> names;
    for (const InstructionSet& set : available_instruction_sets()) names.emplace_back(set.name);
    return names;
  });
}
