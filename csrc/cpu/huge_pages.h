// Huge pages for fresh results.
#ifndef SPIKEGRAD_CPU_HUGE_PAGES_H_
#define SPIKEGRAD_CPU_HUGE_PAGES_H_

#include <cstdint>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace spikegrad {

// A large result comes straight from mmap, and its page faults, 4 KiB at a time, are most of the time of an elementwise
// operation. One advice on the aligned inside of the buffer makes them 2 MiB each. It is advice: where the system's
// setting is "never" it does nothing, where it is "always" nothing was missing, so its result is not looked at.
inline void advise_huge_pages(void* data, int64_t bytes) {
#if defined(__linux__)
  constexpr int64_t kThreshold = 4 << 20;  // measured on two x86-64 cores: below it the advice costs what it saves
  constexpr uintptr_t kHugePage = uintptr_t{2} << 20;
  if (bytes < kThreshold) return;
  const uintptr_t begin = reinterpret_cast<uintptr_t>(data), end = begin + static_cast<uintptr_t>(bytes);
  const uintptr_t first = (begin + kHugePage - 1) & ~(kHugePage - 1), last = end & ~(kHugePage - 1);
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#else
  (void)data;
  (void)bytes;
#endif
}

}  // namespace spikegrad

#endif  // SPIKEGRAD_CPU_HUGE_PAGES_H_
