// Addresses of a block's neurons in the arrays of a layer, and functions that read and write their rows. Compiled per
// instruction set (vectorise.h).
#ifndef SPIKEGRAD_CPU_LAYER_ROWS_H_
#define SPIKEGRAD_CPU_LAYER_ROWS_H_

#include <type_traits>

#include "cpu/conversion_loops.h"
#include "cpu/value_loops.h"
#include "neurons/layer_call.h"

namespace spikegrad::SPIKEGRAD_INSTRUCTION_SET {
namespace {

// Buffers start at a cache line: a 64-byte vector that straddles two lines costs two accesses. Measured with AVX-512:
// with buffers aligned to only 16 bytes, the tangent at 500 x 2048 took 1.4 times as long.
constexpr int64_t kCacheLine = 64;

struct Block {
  int64_t begin;
  int64_t count;
  int64_t outer;   // of the first neuron
  int64_t offset;  // of the first neuron within its row
};

template <class Use>
void for_each_block(const LayerShape& shape, int64_t begin, int64_t end, int64_t most, Use use) {
  for (int64_t i = begin; i < end; i += most) {
    use(Block{i, end - i < most ? end - i : most, i / shape.inner, i % shape.inner});
  }
}

// Calls use(strip, position of the strip in the block).
template <class Use>
void for_each_strip(const LayerShape& shape, const Block& block, Use use) {
  for_each_block(shape, block.begin, block.begin + block.count, kStrip,
                 [&](const Block& strip) { use(strip, strip.begin - block.begin); });
}

// An array [outer, length, inner], read row by row for the neurons of a block.
template <class T>
struct Rows {
  T* data;
  int64_t length;
  int64_t inner;
};

template <class T>
Rows<T> over_time(T* data, const LayerShape& shape) {
  return {data, shape.steps, shape.inner};
}

template <class T>
int64_t index(const Rows<T>& rows, const Block& block, int64_t t) {
  return (block.outer * rows.length + t) * rows.inner + block.offset;
}

template <class T>
T* address(const Rows<T>& rows, const Block& block, int64_t t) {
  return rows.data + index(rows, block, t);
}

template <class T>
bool is_contiguous(const Rows<T>& rows, const Block& block) {
  return block.offset + block.count <= rows.inner;
}

// Calls use(address, position in the block, length) for each contiguous stretch of a strided row.
template <class T, class Use>
void for_each_stretch(const Rows<T>& rows, const Block& block, int64_t t, Use use) {
  int64_t outer = block.outer, offset = block.offset;
  for (int64_t i = 0; i < block.count;) {
    const int64_t rest = rows.inner - offset, left = block.count - i, count = rest < left ? rest : left;
    use(rows.data + (outer * rows.length + t) * rows.inner + offset, i, count);
    i += count;
    outer++;
    offset = 0;
  }
}

void widen_loop(const float* from, float* to, int64_t size) {
  memcpy(to, from, static_cast<size_t>(size) * sizeof *to);
}
void widen_loop(const double* from, double* to, int64_t size) {
  memcpy(to, from, static_cast<size_t>(size) * sizeof *to);
}
void narrow_loop(const float* from, float* to, int64_t size) { widen_loop(from, to, size); }
void narrow_loop(const double* from, double* to, int64_t size) { widen_loop(from, to, size); }

template <class T>
void copy_row_in(const Rows<const T>& rows, const Block& block, int64_t t, Wide<T>* buffer) {
  for_each_stretch(rows, block, t, [&](const T* from, int64_t i, int64_t count) {
    if (count == 1) {  // every stretch, if inner is 1 (batched along the last axis)
      buffer[i] = widen(*from);
    } else {
      widen_loop(from, buffer + i, count);
    }
  });
}

template <class T>
void copy_row_out(const Rows<T>& rows, const Block& block, int64_t t, const Wide<T>* buffer) {
  for_each_stretch(rows, block, t, [&](T* to, int64_t i, int64_t count) {
    if (count == 1) {
      *to = narrow(buffer[i], T{});
    } else {
      narrow_loop(buffer + i, to, count);
    }
  });
}

// A row in the wide type. It is read in place if possible, otherwise copied to the buffer.
template <class T>
const Wide<T>* row(const Rows<const T>& rows, const Block& block, int64_t t, Wide<T>* buffer) {
  if constexpr (std::is_same_v<T, Wide<T>>) {
    if (is_contiguous(rows, block)) return address(rows, block, t);
  }
  copy_row_in(rows, block, t, buffer);
  return buffer;
}

// The address to write a row to: the array itself if possible, otherwise the buffer. `written` copies the buffer.
template <class T>
Wide<T>* row_to_write(const Rows<T>& rows, const Block& block, int64_t t, Wide<T>* buffer) {
  if constexpr (std::is_same_v<T, Wide<T>>) {
    if (is_contiguous(rows, block)) return address(rows, block, t);
  }
  return buffer;
}

template <class T>
void written(const Rows<T>& rows, const Block& block, int64_t t, const Wide<T>* row, const Wide<T>* buffer) {
  if (row == buffer) copy_row_out(rows, block, t, buffer);
}

template <class T>
void fill(T* to, int64_t count, T value) {
  for (int64_t i = 0; i < count; i++) to[i] = value;
}

// An operand over time. A scalar is broadcast into the buffer once.
template <class T>
struct OverTime {
  Rows<const T> rows;
  bool is_scalar;
  alignas(kCacheLine) Wide<T> buffer[kStrip];

  OverTime(const Operand<T>& operand, const LayerShape& shape)
      : rows{operand.data, shape.steps, shape.inner}, is_scalar(operand.is_scalar) {
    if (is_scalar) fill(buffer, kStrip, widen(*operand.data));
  }
  const Wide<T>* at(const Block& strip, int64_t t) { return is_scalar ? buffer : row(rows, strip, t, buffer); }
};

}  // namespace
}  // namespace spikegrad::SPIKEGRAD_INSTRUCTION_SET

#endif  // SPIKEGRAD_CPU_LAYER_ROWS_H_
