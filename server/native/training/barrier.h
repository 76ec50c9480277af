// Where the threads of one parallel region wait for each other.
#pragma once
#include <atomic>
#include <thread>

namespace onebit::training {

class Barrier {
 public:
  explicit Barrier(int count) : count_(count) {}

  void Wait() {
    const int phase = phase_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == count_) {
      arrived_.store(0, std::memory_order_relaxed);
      phase_.store(phase + 1, std::memory_order_release);
      return;
    }
    // Yields soon: on a busy machine the others may need this core.
    for (int i = 0; phase_.load(std::memory_order_acquire) == phase; i++)
      if (i > kSpins) std::this_thread::yield();
  }

 private:
  static constexpr int kSpins = 4000;
  const int count_;
  std::atomic<int> arrived_{0};
  std::atomic<int> phase_{0};
};

}  // namespace onebit::training
