// Turns off flush-to-zero for a scope: subnormals are computed as IEEE 754 requires.
//
// XLA calls handlers with subnormals flushed to zero, both on its own threads and on the threads of its pool. In this
// mode x >= 0 is true for a negative subnormal, and the last binades of the Gaussian's tail are lost.
#ifndef SPIKEGRAD_CPU_FLOAT_MODE_H_
#define SPIKEGRAD_CPU_FLOAT_MODE_H_

#include <cstdint>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace spikegrad {

class GradualUnderflow {
 public:
  GradualUnderflow() : saved_(read()) { write(saved_ & ~kFlush); }
  ~GradualUnderflow() { write(saved_); }
  GradualUnderflow(const GradualUnderflow&) = delete;
  GradualUnderflow& operator=(const GradualUnderflow&) = delete;

 private:
#if defined(__x86_64__)
  using Register = uint32_t;
  static constexpr Register kFlush = 0x8040;  // FTZ and DAZ of MXCSR
  static Register read() { return _mm_getcsr(); }
  static void write(Register value) { _mm_setcsr(value); }
#elif defined(__aarch64__)
  using Register = uint64_t;
  static constexpr Register kFlush = Register{1} << 24;  // FZ of FPCR
  static Register read() {
    Register value;
    __asm__ volatile("mrs %0, fpcr" : "=r"(value));
    return value;
  }
  static void write(Register value) { __asm__ volatile("msr fpcr, %0" : : "r"(value)); }
#else
#error "spikegrad can set the floating-point mode of x86-64 and aarch64 only"
#endif
  Register saved_;
};

}  // namespace spikegrad

#endif  // SPIKEGRAD_CPU_FLOAT_MODE_H_
