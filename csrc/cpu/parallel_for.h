// A parallel loop over [0, size) on the threads of XLA's pool. It never waits for a thread to become free.
//
// The calling handler often runs on a thread of the same pool. Scheduling tasks and waiting for them would deadlock on
// one core inside lax.scan, or whenever all threads of the pool wait at once. So the caller claims pieces like every
// other thread, and waits only for pieces that a running thread has claimed. A task that starts too late finds no
// pieces left.
#ifndef SPIKEGRAD_CPU_PARALLEL_FOR_H_
#define SPIKEGRAD_CPU_PARALLEL_FOR_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace spikegrad {

// XLA is not built with ThreadSanitizer. The sanitizer therefore misses the locks with which the pool hands over a task
// and the locks that order two calls on one buffer, and would report both as races. These functions declare the two
// orderings. All other accesses are checked.
#if defined(__SANITIZE_THREAD__)
inline void tell_released(void* address) { __tsan_release(address); }
inline void tell_acquired(void* address) { __tsan_acquire(address); }
#else
inline void tell_released(void*) {}
inline void tell_acquired(void*) {}
#endif
inline char buffers_of_xla;  // one address that represents all of XLA's buffers

template <class Work>
class Task {
 public:
  explicit Task(Work work) : work_(std::move(work)) {}
  Task(Task&& other) noexcept : work_(std::move(other.work_)) { tell_released(this); }
  void operator()() {
    tell_acquired(this);
    work_();
  }

 private:
  Work work_;
};

// Pool has num_threads() and Schedule(task). body(begin, end) must not throw. It must capture by value: late tasks
// still hold it after this function has returned, although they don't call it.
//
// A piece has at least `grain` elements. A large loop has larger pieces, at most 16 for each thread: if neighbouring
// pieces are smaller than a huge page, two threads wait for each other in the faults of one page.
template <class Pool, class Body>
void parallel_for(Pool& pool, int64_t size, int64_t grain, Body body) {
  tell_acquired(&buffers_of_xla);
  const int64_t threads = pool.num_threads() > 0 ? pool.num_threads() : 1;
  if (size / (16 * threads) > grain) grain = size / (16 * threads);
  const int64_t pieces = (size + grain - 1) / grain;
  if (pieces <= 1) {
    body(int64_t{0}, size);
    tell_released(&buffers_of_xla);
    return;
  }

  struct Shared {
    explicit Shared(Body b) : body(std::move(b)) {}
    Body body;
    std::atomic<int64_t> claimed{0};
    std::atomic<int64_t> finished{0};
    std::mutex mutex;
    std::condition_variable all_finished;
  };
  auto shared = std::make_shared<Shared>(std::move(body));
  auto work = [shared, size, grain, pieces] {
    for (int64_t piece; (piece = shared->claimed.fetch_add(1)) < pieces;) {
      const int64_t begin = piece * grain;
      shared->body(begin, begin + grain < size ? begin + grain : size);
      if (shared->finished.fetch_add(1) + 1 == pieces) {
        const std::lock_guard<std::mutex> lock(shared->mutex);
        shared->all_finished.notify_one();
      }
    }
  };

  // The caller also works, so one helper fewer is scheduled. With one more, the thread that holds the last piece can
  // lose its core to a thread without work (1.5x slower on two cores at 1e6 elements).
  const int64_t helpers = (threads < pieces ? threads : pieces) - 1;
  for (int64_t i = 0; i < helpers; i++) pool.Schedule(Task(work));
  work();
  std::unique_lock<std::mutex> lock(shared->mutex);
  shared->all_finished.wait(lock, [&] { return shared->finished.load() == pieces; });
  tell_released(&buffers_of_xla);
}

}  // namespace spikegrad

#endif  // SPIKEGRAD_CPU_PARALLEL_FOR_H_
