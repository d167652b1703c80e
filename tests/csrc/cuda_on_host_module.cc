// For tests only: the CUDA kernels, compiled for the host, over NumPy arrays. Halves come and go as their bit patterns.
#include <cuda_runtime.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "buffer.h"
#include "cuda/kernels.h"
#include "cuda/layer_kernels.h"
#include "held.h"
#include "lif_calls.h"

namespace py = pybind11;
using namespace spikegrad;

namespace {

template <class T>
void define(py::module_& m, const std::string& dtype) {
  using N = typename Held<T>::type;
  m.def(("heaviside_" + dtype).c_str(), [](py::array_t<N> x, int64_t offset) {
    Buffer<T> from(x.data(), x.size(), offset), to(nullptr, x.size(), offset);
    cuda::Heaviside<T>::launch(from.data(), to.data(), x.size(), nullptr);
    return to.array();
  });
  define_lif<T>(m, "lif_" + dtype,
                [](const LifForward<T>& call) { cuda::ForwardKernels<T, Lif>::launch(call, nullptr); });
}

template <class Family, class T>
ParameterAddresses<Family> addresses_of(const std::vector<T>& values) {
  ParameterAddresses<Family> addresses = {};
  if (values.size() > addresses.most) throw std::invalid_argument("more parameters than the family has");
  for (const T& value : values) addresses.at[addresses.count++] = &value;
  return addresses;
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
  define_lif_tangent<T>(m, "lif_tangent_" + family + "_" + dtype,
                        [](const LifTangent<T>& call, const std::vector<double>& parameters) {
                          const std::vector<Wide<T>> values(parameters.begin(), parameters.end());
                          cuda::TangentKernels<T, Lif, Family>::launch(call, addresses_of<Family>(values), nullptr);
                        });
  define_lif_cotangent<T>(m, "lif_cotangent_" + family + "_" + dtype,
                          [](const LifCotangent<T>& call, const std::vector<double>& parameters) {
                            const std::vector<Wide<T>> values(parameters.begin(), parameters.end());
                            cuda::CotangentKernels<T, Lif, Family>::launch(call, addresses_of<Family>(values), nullptr);
                          });
}

}  // namespace

PYBIND11_MODULE(spikegrad_cuda_on_host, m) {
  m.def("set_threads", [](unsigned threads) { launch_shim::threads_of_launches = threads; });
  m.def("set_lif_offset", [](int64_t elements) { lif_offset = elements; });
  m.def("set_multiprocessors", [](int count) { launch_shim::multiprocessors = count; });
  // Blocks, threads a block, and bytes of shared memory that the last launch asked for; all 0 if there was none since.
  m.def("take_launched", [] {
    const cudaLaunchConfig_t config = std::exchange(launch_shim::launched, launch_shim::kNothing);
    return py::make_tuple(config.gridDim.x, config.blockDim.x, config.dynamicSmemBytes);
  });
#define SPIKEGRAD_DEFINE(name, Family, dtype, T) define_family<T, Family>(m, #name, dtype);
#define SPIKEGRAD_DEFINE_ALL(dtype, T) \
  define<T>(m, dtype);                 \
  SPIKEGRAD_FOR_EACH_FAMILY(SPIKEGRAD_DEFINE, dtype, T)
  SPIKEGRAD_DEFINE_ALL("f16", Float16)
  SPIKEGRAD_DEFINE_ALL("bf16", BFloat16)
  SPIKEGRAD_DEFINE_ALL("f32", float)
  SPIKEGRAD_DEFINE_ALL("f64", double)
}
