// For tests only: the CUDA kernels, compiled for the host, over NumPy arrays. 16-bit floats are passed as bit patterns.
#include <cuda_runtime.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "adapting.h"
#include "buffer.h"
#include "cuda/kernels.h"
#include "cuda/layer_kernels.h"
#include "held.h"
#include "layer_calls.h"
#include "math/dtypes.h"
#include "neurons/neurons.h"

namespace py = pybind11;
using namespace spikegrad;

namespace {

template <class T, class Neuron>
void define_layer_forward(py::module_& m, const std::string& neuron, const std::string& dtype) {
  define_layer<T, Neuron>(m, neuron + "_" + dtype, [](const LayerForward<T, Neuron>& call) {
    cuda::ForwardKernels<T, Neuron>::launch(call, nullptr);
  });
}

template <class T>
void define(py::module_& m, const std::string& dtype) {
  using N = typename Held<T>::type;
  m.def(("heaviside_" + dtype).c_str(), [](py::array_t<N> x, int64_t offset) {
    Buffer<T> from(x.data(), x.size(), offset), to(nullptr, x.size(), offset);
    cuda::Heaviside<T>::launch(from.data(), to.data(), x.size(), nullptr);
    return to.array();
  });
#define SPIKEGRAD_DEFINE(neuron, Neuron) define_layer_forward<T, Neuron>(m, #neuron, dtype);
  SPIKEGRAD_FOR_EACH_NEURON(SPIKEGRAD_DEFINE)
#undef SPIKEGRAD_DEFINE
}

template <class Family, class T>
ParameterAddresses<Family> addresses_of(const std::vector<T>& values) {
  ParameterAddresses<Family> addresses = {};
  if (values.size() > addresses.most) throw std::invalid_argument("more parameters than the family has");
  for (const T& value : values) addresses.at[addresses.count++] = &value;
  return addresses;
}

template <class T, class Neuron, class Family>
void define_layer_derivatives(py::module_& m, const std::string& neuron, const std::string& family,
                              const std::string& dtype) {
  define_layer_tangent<T, Neuron>(m, neuron + "_tangent_" + family + "_" + dtype,
                                  [](const LayerTangent<T, Neuron>& call, const std::vector<double>& parameters) {
                                    const std::vector<Wide<T>> values(parameters.begin(), parameters.end());
                                    cuda::TangentKernels<T, Neuron, Family>::launch(call, addresses_of<Family>(values),
                                                                                    nullptr);
                                  });
  define_layer_cotangent<T, Neuron>(m, neuron + "_cotangent_" + family + "_" + dtype,
                                    [](const LayerCotangent<T, Neuron>& call, const std::vector<double>& parameters) {
                                      const std::vector<Wide<T>> values(parameters.begin(), parameters.end());
                                      cuda::CotangentKernels<T, Neuron, Family>::launch(
                                          call, addresses_of<Family>(values), nullptr);
                                    });
}

template <class T>
void define_adapting(py::module_& m, const std::string& dtype) {
  define_layer_forward<T, Adapting>(m, "adapting", dtype);
  define_layer_derivatives<T, Adapting, Sigmoid>(m, "adapting", "sigmoid", dtype);
}

template <class T, class Family>
void define_family(py::module_& m, const std::string& family, const std::string& dtype) {
  using N = typename Held<T>::type;
  m.def((family + "_" + dtype).c_str(),
        [](py::array_t<N> x, py::array_t<N> t, const std::vector<double>& parameters, int64_t order, int64_t x_offset,
           int64_t t_offset, int64_t out_offset, bool in_place) {
          const std::vector<Wide<T>> values(parameters.begin(), parameters.end());
          const ParameterAddresses<Family> addresses = addresses_of<Family>(values);
          Buffer<T> from(x.data(), x.size(), x_offset), tangent(t.data(), t.size(), t_offset);
          Buffer<T> to(nullptr, x.size(), out_offset);
          cuda::Derivative<T, Family>::launch(from.data(), tangent.data(), t.ndim() == 0,
                                              in_place ? from.data() : to.data(), x.size(), addresses, order, nullptr);
          return in_place ? from.array() : to.array();
        });
#define SPIKEGRAD_DEFINE(neuron, Neuron) define_layer_derivatives<T, Neuron, Family>(m, #neuron, family, dtype);
  SPIKEGRAD_FOR_EACH_NEURON(SPIKEGRAD_DEFINE)
#undef SPIKEGRAD_DEFINE
}

}  // namespace

PYBIND11_MODULE(spikegrad_cuda_on_host, m) {
  m.def("set_threads", [](unsigned threads) { launch_shim::threads_of_launches = threads; });
  m.def("set_layer_offset", [](int64_t elements) { layer_offset = elements; });
  m.def("set_multiprocessors", [](int count) { launch_shim::multiprocessors = count; });
  // Blocks, threads a block and bytes of shared memory of the last launch; all 0 if there was none since the last call.
  m.def("take_launched", [] {
    const cudaLaunchConfig_t config = std::exchange(launch_shim::launched, launch_shim::kNothing);
    return py::make_tuple(config.gridDim.x, config.blockDim.x, config.dynamicSmemBytes);
  });
#define SPIKEGRAD_DEFINE_FAMILY(name, Family, dtype, T) define_family<T, Family>(m, #name, dtype);
#define SPIKEGRAD_DEFINE(dtype, T, ...) \
  define<T>(m, #dtype);                 \
  SPIKEGRAD_FOR_EACH_FAMILY(SPIKEGRAD_DEFINE_FAMILY, #dtype, T)
  SPIKEGRAD_FOR_EACH_DTYPE(SPIKEGRAD_DEFINE)
  define_adapting<float>(m, "f32");
  define_adapting<double>(m, "f64");
}
