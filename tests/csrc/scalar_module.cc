// For tests only: the scalar functions of math/ over NumPy arrays, and the kernels of every instruction set that this
// processor supports, without XLA. 16-bit floats are passed as bit patterns.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "adapting_kernels.h"
#include "cpu/instruction_set.h"
#include "cpu/layer_kernels.h"
#include "held.h"
#include "layer_calls.h"
#include "math/dtypes.h"
#include "math/element.h"
#include "math/families.h"
#include "math/heaviside.h"

namespace py = pybind11;
using namespace spikegrad;

namespace {

template <class Family, class T>
Family prepared(const std::vector<double>& parameters, int64_t order) {
  const size_t terms = parameters.size() / Family::parameters;
  if (terms == 0 || terms > Family::most_terms || parameters.size() % Family::parameters != 0) {
    throw std::invalid_argument("wrong number of parameters for this family");
  }
  Family g;
  prepare(g, parameters.data(), static_cast<int64_t>(terms), order, T{});
  return g;
}

template <class T>
const ElementKernels<T>& kernels_of(const std::string& set, ElementKernels<T> Kernels::* table) {
  for (const InstructionSet& candidate : available_instruction_sets()) {
    if (set == candidate.name) return candidate.kernels->*table;
  }
  throw std::invalid_argument("no such instruction set here: " + set);
}

template <class T, class Family>
void define_family(py::module_& m, const std::string& name, ElementKernels<T> Kernels::* table) {
  using H = Held<T>;
  using N = typename H::type;
  using W = Wide<T>;
  // Order 0 by the fast path, one element after the other.
  m.def(("value_" + name).c_str(), [](py::array_t<N> x, py::array_t<N> t, const std::vector<double>& parameters) {
    const Family g = prepared<Family, W>(parameters, 0);
    py::object out;
    const bool done = with_value(g, W{}, [&](const auto& value) {
      out = py::vectorize(
          [&value](N x, N t) { return H::out(narrow(value_of(widen(H::in(x)), widen(H::in(t)), value), T{})); })(x, t);
    });
    if (!done) throw std::invalid_argument("no fast path for these parameters");
    return out;
  });
  m.def(("run_" + name).c_str(), [table](const std::string& set, py::array_t<N> x, py::array_t<N> t,
                                         const std::vector<double>& parameters, int64_t order, bool in_place) {
    const Family g = prepared<Family, Wide<T>>(parameters, order);
    const DerivativeKernels<T, Family>& kernels = kernels_of(set, table).of(g);
    py::array_t<N> out = in_place ? x : py::array_t<N>(x.size());
    const bool scalar_t = t.ndim() == 0;
    if (!scalar_t && t.size() != x.size()) throw std::invalid_argument("t must have the size of x, or rank 0");
    (scalar_t ? kernels.scalar_t : kernels.array_t)(reinterpret_cast<const T*>(x.data()),
                                                    reinterpret_cast<const T*>(t.data()),
                                                    reinterpret_cast<T*>(out.mutable_data()), x.size(), g);
    return out;
  });
}

template <class T, class Neuron>
void define_layer_of(py::module_& m, const std::string& neuron, const std::string& dtype,
                     const LayerElementKernels<T, Neuron>& kernels) {
  define_layer<T, Neuron>(m, neuron + "_" + dtype, [&kernels](const LayerForward<T, Neuron>& call) {
    kernels.forward(call, 0, neurons_of(call.layer.shape));
  });
#define SPIKEGRAD_DEFINE(name, Family)                                                                                \
  define_layer_tangent<T, Neuron>(m, neuron + "_tangent_" #name "_" + dtype,                                          \
                                  [&kernels](const LayerTangent<T, Neuron>& call, const std::vector<double>& given) { \
                                    const Family g = prepared<Family, Wide<T>>(given, 0);                             \
                                    kernels.of(g).tangent(call, 0, neurons_of(call.layer.shape), g);                  \
                                  });                                                                                 \
  define_layer_cotangent<T, Neuron>(                                                                                  \
      m, neuron + "_cotangent_" #name "_" + dtype,                                                                    \
      [&kernels](const LayerCotangent<T, Neuron>& call, const std::vector<double>& given) {                           \
        const Family g = prepared<Family, Wide<T>>(given, 0);                                                         \
        kernels.of(g).cotangent(call, 0, neurons_of(call.layer.shape), g);                                            \
      });
  SPIKEGRAD_FOR_EACH_FAMILY(SPIKEGRAD_DEFINE)
#undef SPIKEGRAD_DEFINE
}

template <class T>
void define(py::module_& m, const std::string& dtype, ElementKernels<T> Kernels::* table) {
  using H = Held<T>;
  using N = typename H::type;
  m.def(("heaviside_" + dtype).c_str(), py::vectorize([](N x) { return H::out(heaviside(H::in(x))); }));
  m.def(("run_heaviside_" + dtype).c_str(), [table](const std::string& set, py::array_t<N> x) {
    py::array_t<N> out(x.size());
    kernels_of(set, table)
        .heaviside(reinterpret_cast<const T*>(x.data()), reinterpret_cast<T*>(out.mutable_data()), x.size());
    return out;
  });
#define SPIKEGRAD_DEFINE(name, Family) define_family<T, Family>(m, #name "_" + dtype, table);
  SPIKEGRAD_FOR_EACH_FAMILY(SPIKEGRAD_DEFINE)
#undef SPIKEGRAD_DEFINE
}

template <class Family>
void define_terms(py::module_& m, const std::string& name) {
  m.def(("derivative_" + name).c_str(),
        [](py::array_t<double> x, py::array_t<double> t, const std::vector<double>& parameters, int64_t order) {
          const Family g = prepared<Family, double>(parameters, order);
          return py::vectorize([&g](double x, double t) { return sum_of_terms(x, t, g, g.order); })(x, t);
        });
}

}  // namespace

PYBIND11_MODULE(spikegrad_scalar, m) {
#define SPIKEGRAD_DEFINE(name, T, ...) define<T>(m, #name, &Kernels::name);
  SPIKEGRAD_FOR_EACH_DTYPE(SPIKEGRAD_DEFINE)
#undef SPIKEGRAD_DEFINE
#define SPIKEGRAD_DEFINE(name, Family) define_terms<Family>(m, #name);
  SPIKEGRAD_FOR_EACH_FAMILY(SPIKEGRAD_DEFINE)
#undef SPIKEGRAD_DEFINE
  // The baseline instruction set rounds like the scalar functions of this module.
#define SPIKEGRAD_DEFINE_DTYPE(name, T, F, neuron) define_layer_of(m, #neuron, #name, baseline::neuron##_kernels.name);
#define SPIKEGRAD_DEFINE(neuron, Neuron) SPIKEGRAD_FOR_EACH_DTYPE(SPIKEGRAD_DEFINE_DTYPE, neuron)
  SPIKEGRAD_FOR_EACH_NEURON(SPIKEGRAD_DEFINE)
#undef SPIKEGRAD_DEFINE
#undef SPIKEGRAD_DEFINE_DTYPE
  define_layer_of(m, "adapting", "f32", baseline::adapting_f32);
  define_layer_of(m, "adapting", "f64", baseline::adapting_f64);
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
