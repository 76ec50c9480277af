// The threads of one parallel region: a barrier between the stages of the pass, and a counter from
// which they draw the tasks of a stage, so that a thread that loses its core holds up little.
#pragma once

#include <atomic>
#include <thread>

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace onebit {

class Team {
 public:
  // Runs work(task) for the tasks [0, count) that this thread draws; a barrier must follow.
  template <typename Work>
  void Share(int count, Work work) {
    for (int task; (task = next_.fetch_add(1, std::memory_order_relaxed)) < count;) work(task);
  }

  // Waits for all `threads` threads; what they wrote before is seen after. Restarts the counter.
  void Barrier(int threads) {
    const unsigned phase = phase_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) == threads - 1) {
      arrived_.store(0, std::memory_order_relaxed);
      next_.store(0, std::memory_order_relaxed);
      phase_.store(phase + 1, std::memory_order_release);
      return;
    }
    for (int spins = 0; phase_.load(std::memory_order_acquire) == phase; spins++) {
      if (spins < kSpins) Pause();
      else std::this_thread::yield();
    }
  }

 private:
  static constexpr int kSpins = 4000;  // some 40 µs; then the core may be needed by the thread waited for
  static void Pause() {
#if defined(__x86_64__) || defined(_M_X64)
    _mm_pause();
#elif defined(__aarch64__) && defined(__GNUC__)
    asm volatile("yield");
#endif
  }

  alignas(64) std::atomic<int> next_{0};
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<unsigned> phase_{0};
};

}  // namespace onebit
