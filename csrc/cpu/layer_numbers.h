// Values that do not depend on time, such as parameters, or that change in place, such as states: one array for each
// value. Compiled per instruction set (vectorise.h).
#ifndef SPIKEGRAD_CPU_LAYER_NUMBERS_H_
#define SPIKEGRAD_CPU_LAYER_NUMBERS_H_

#include <type_traits>

#include "cpu/layer_kernels.h"
#include "cpu/layer_rows.h"
#include "neurons/neuron.h"

namespace spikegrad::SPIKEGRAD_INSTRUCTION_SET {
namespace {

// The addresses of these arrays for the neurons of a strip.
template <class T, int kCount>
struct Arrays {
  T* at[kCount];
};

// The values of the i-th neuron.
template <class T, int kCount>
SPIKEGRAD_SCALAR Numbers<std::remove_const_t<T>, kCount> load(const Arrays<T, kCount>& arrays, int64_t i) {
  Numbers<std::remove_const_t<T>, kCount> numbers;
  for (int k = 0; k < kCount; k++) numbers.at[k] = arrays.at[k][i];
  return numbers;
}

template <class T, int kCount>
SPIKEGRAD_SCALAR void store(const Numbers<T, kCount>& numbers, const Arrays<T, kCount>& arrays, int64_t i) {
  for (int k = 0; k < kCount; k++) arrays.at[k][i] = numbers.at[k];
}

template <class T, int kCount>
SPIKEGRAD_SCALAR void add(const Numbers<T, kCount>& numbers, const Arrays<T, kCount>& arrays, int64_t i) {
  for (int k = 0; k < kCount; k++) arrays.at[k][i] += numbers.at[k];
}

// Read-only operands. Arrays are read in place; a scalar is broadcast into a buffer of one strip.
template <class T, int kCount>
class Constants {
 public:
  Constants(const Constants&) = delete;  // data_ may point into copies_
  explicit Constants(const Operand<T> (&operands)[kCount]) {
    for (int k = 0; k < kCount; k++) {
      data_[k] = operands[k].is_scalar ? copies_[k] : operands[k].data;
      step_[k] = operands[k].is_scalar ? 0 : 1;
      if (operands[k].is_scalar) fill(copies_[k], kStrip, *operands[k].data);
    }
  }
  Arrays<const T, kCount> at(const Block& strip) const {
    Arrays<const T, kCount> arrays;
    for (int k = 0; k < kCount; k++) arrays.at[k] = data_[k] + strip.begin * step_[k];
    return arrays;
  }

 private:
  alignas(kCacheLine) T copies_[kCount][kStrip];
  const T* data_[kCount];
  int64_t step_[kCount];
};

// Values of a block's neurons that change from step to step.
template <class T, int kCount>
struct BlockNumbers {
  // The padding keeps the arrays from lying a multiple of 4096 bytes apart. Without it, a load waits for the store to
  // the same position of the previous array. Measured without padding: forward and backward with parameter gradients at
  // 500 x 2048 in float were 0.94 times as fast.
  alignas(kCacheLine) T value[kCount][kBlock + 4 * kCacheLine / sizeof(T)];

  // The arrays for the strip that starts at position i of the block.
  Arrays<T, kCount> at(int64_t i) {
    Arrays<T, kCount> arrays;
    for (int k = 0; k < kCount; k++) arrays.at[k] = value[k] + i;
    return arrays;
  }
  void clear(const Block& block) {
    for (T* numbers : value) fill(numbers, block.count, T(0));
  }
  void read(const Operand<T> (&operands)[kCount], const Block& block) {
    for (int k = 0; k < kCount; k++) {
      if (operands[k].is_scalar) {
        fill(value[k], block.count, *operands[k].data);
      } else {
        memcpy(value[k], operands[k].data + block.begin, static_cast<size_t>(block.count) * sizeof(T));
      }
    }
  }
  void write(T* const (&results)[kCount], const Block& block) const {
    for (int k = 0; k < kCount; k++) {
      memcpy(results[k] + block.begin, value[k], static_cast<size_t>(block.count) * sizeof(T));
    }
  }
  // Reads row `row` of arrays [outer, length, inner].
  void read_row(const T* const (&arrays)[kCount], int64_t length, int64_t inner, const Block& block, int64_t row) {
    for (int k = 0; k < kCount; k++) copy_row_in(Rows<const T>{arrays[k], length, inner}, block, row, value[k]);
  }
  void write_row(T* const (&arrays)[kCount], int64_t length, int64_t inner, const Block& block, int64_t row) const {
    for (int k = 0; k < kCount; k++) copy_row_out(Rows<T>{arrays[k], length, inner}, block, row, value[k]);
  }
};

}  // namespace
}  // namespace spikegrad::SPIKEGRAD_INSTRUCTION_SET

#endif  // SPIKEGRAD_CPU_LAYER_NUMBERS_H_
