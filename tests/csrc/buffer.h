// Memory for the kernels under test.
#pragma once

#include <pybind11/numpy.h>

#include <cstdint>
#include <cstring>
#include <memory>

#include "held.h"

// A copy of an array. It starts a few elements after malloc's alignment and ends exactly with its allocation, so that
// AddressSanitizer detects accesses beyond its end.
template <class T>
class Buffer {
 public:
  Buffer(const void* from, int64_t size, int64_t offset)
      : size_(size), memory_(new char[static_cast<size_t>(size + offset) * sizeof(T)]), offset_(offset) {
    if (from && size) std::memcpy(data(), from, static_cast<size_t>(size) * sizeof(T));
  }
  T* data() { return reinterpret_cast<T*>(memory_.get()) + offset_; }
  pybind11::array_t<typename Held<T>::type> array() {
    return pybind11::array_t<typename Held<T>::type>(size_, reinterpret_cast<const typename Held<T>::type*>(data()));
  }

 private:
  int64_t size_;
  std::unique_ptr<char[]> memory_;
  int64_t offset_;
};
