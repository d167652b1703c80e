// A loop over [0, size) shared with the threads of XLA's pool, which never waits for a thread to become free.
//
// The handler that calls this often is a worker of that pool itself. Scheduling tasks and waiting until they have run
// hangs on one core inside lax.scan, and whenever all workers do it at once. So the caller claims pieces like every
// worker, and waits only for pieces that a running thread holds; tasks that come too late find none left.
#ifndef SPIKEGRAD_CPU_PARALLEL_FOR_H_
#define SPIKEGRAD_CPU_PARALLEL_FOR_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

namespace spikegrad {

// Pool has num_threads() and Schedule(task). body(begin, end) must not throw, and holds what it needs by value: it
// lives on in late tasks after this has returned, though none of them calls it any more.
template <class Pool, class Body>
void parallel_for(Pool& pool, int64_t size, int64_t grain, Body body) {
  const int64_t pieces = (size + grain - 1) / grain;
  if (pieces <= 1) {
    body(int64_t{0}, size);
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

  // The caller is one of the threads at work, be it of the pool or not: a helper more than that and a thread that holds
  // the last piece can lose its core to one that has none (1.5x slower on two cores at 1e6 elements).
  const int64_t helpers = (pool.num_threads() < pieces ? pool.num_threads() : pieces) - 1;
  for (int64_t i = 0; i < helpers; i++) pool.Schedule([work] { work(); });
  work();
  std::unique_lock<std::mutex> lock(shared->mutex);
  shared->all_finished.wait(lock, [&] { return shared->finished.load() == pieces; });
}

}  // namespace spikegrad

#endif  // SPIKEGRAD_CPU_PARALLEL_FOR_H_
