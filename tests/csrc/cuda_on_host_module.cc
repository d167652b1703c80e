// For tests only: the CUDA kernels, compiled for the host, over NumPy arrays. Halves come and go as their bit patterns.
#include <cuda_runtime.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "cuda/kernels.h"
#include "held.h"

namespace py = pybind11;
using namespace spikegrad;

namespace {

// A copy of an array that begins some elements behind what malloc aligns, and ends with its allocation: what reads or
// writes beyond its end is seen by AddressSanitizer.
template <class T>
class Buffer {
 public:
  Buffer(const void* from, int64_t size, int64_t offset)
      : size_(size), memory_(new char[static_cast<size_t>(size + offset) * sizeof(T)]), offset_(offset) {
    if (from && size) std::memcpy(data(), from, static_cast<size_t>(size) * sizeof(T));
  }
  T* data() { return reinterpret_cast<T*>(memory_.get()) + offset_; }
  py::array_t<typename Held<T>::type> array() {
    return py::array_t<typename Held<T>::type>(size_, reinterpret_cast<const typename Held<T>::type*>(data()));
  }

 private:
  int64_t size_;
  std::unique_ptr<char[]> memory_;
  int64_t offset_;
};

template <class T>
void define(py::module_& m, const std::string& dtype) {
  using N = typename Held<T>::type;
  m.def(("heaviside_" + dtype).c_str(), [](py::array_t<N> x, int64_t offset) {
    Buffer<T> from(x.data(), x.size(), offset), to(nullptr, x.size(), offset);
    cuda::Heaviside<T>::launch(from.data(), to.data(), x.size(), nullptr);
    return to.array();
  });
}

template <class T, class Family>
void define_family(py::module_& m, const std::string& name) {
  using N = typename Held<T>::type;
  m.def(name.c_str(), [](py::array_t<N> x, py::array_t<N> t, const std::vector<double>& parameters, int64_t order,
                         int64_t x_offset, int64_t t_offset, int64_t out_offset, bool in_place) {
    const std::vector<Wide<T>> values(parameters.begin(), parameters.end());
    ParameterAddresses<Family> addresses = {};
    if (values.size() > addresses.most) throw std::invalid_argument("more parameters than the family has");
    for (const Wide<T>& value : values) addresses.at[addresses.count++] = &value;
    Buffer<T> from(x.data(), x.size(), x_offset), tangent(t.data(), t.size(), t_offset);
    Buffer<T> to(nullptr, x.size(), out_offset);
    cuda::Derivative<T, Family>::launch(from.data(), tangent.data(), t.ndim() == 0, in_place ? from.data() : to.data(),
                                        x.size(), addresses, order, nullptr);
    return in_place ? from.array() : to.array();
  });
}

}  // namespace

PYBIND11_MODULE(spikegrad_cuda_on_host, m) {
  m.def("set_shape", [](unsigned blocks, unsigned threads) { launch_shim::shape = {blocks, threads}; });
#define SPIKEGRAD_DEFINE(name, Family, dtype, T) define_family<T, Family>(m, #name "_" dtype);
#define SPIKEGRAD_DEFINE_ALL(dtype, T) \
  define<T>(m, dtype);                 \
  SPIKEGRAD_FOR_EACH_FAMILY(SPIKEGRAD_DEFINE, dtype, T)
  SPIKEGRAD_DEFINE_ALL("f16", Float16)
  SPIKEGRAD_DEFINE_ALL("bf16", BFloat16)
  SPIKEGRAD_DEFINE_ALL("f32", float)
  SPIKEGRAD_DEFINE_ALL("f64", double)
}
