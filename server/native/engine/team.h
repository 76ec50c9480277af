// The threads that run one forward pass, stage by stage. Each draws ranges of a stage's tasks from a counter
// and goes on when all of them are done, whoever did them: a thread that comes late, or loses its core
// between two draws, holds nobody up. Ranges are long at first, so that each thread reads memory in long
// runs, and short in the end, so that all finish together.
#pragma once

#include <algorithm>
#include <atomic>
#include <vector>

#include "pause.h"

namespace onebit {

class Team {
 public:
  // One thread's way through the stages.
  struct Member {
    int index;      // of this thread, from 0
    int threads;    // how many may take part
    int stage = 0;  // the next one
  };

  // stages: the most that one pass has.
  explicit Team(int stages) : stages_(static_cast<size_t>(stages)) {}

  // Before a pass; nobody is inside.
  void Restart() {
    for (Stage& stage : stages_) {
      stage.next.store(0, std::memory_order_relaxed);
      stage.done.store(0, std::memory_order_relaxed);
    }
    joined_.store(0, std::memory_order_relaxed);
  }

  Member Join(int threads) { return {joined_.fetch_add(1, std::memory_order_relaxed), threads}; }

  // A stage: work(task) once for each task in [0, count). What all tasks wrote is seen afterwards.
  template <typename Work>
  void Share(Member& member, int count, Work work) {
    ShareRanges(member, count, 1, [&](int first, int end) {
      for (int task = first; task < end; task++) work(task);
    });
  }

  // The same by ranges of at least so many tasks: work(first, end) for all of [0, count).
  template <typename Work>
  void ShareRanges(Member& member, int count, int least, Work work) {
    Stage& stage = stages_[static_cast<size_t>(member.stage++)];
    int finished = 0;
    int first = stage.next.load(std::memory_order_relaxed);
    while (first < count) {
      const int share = (count - first) / (2 * member.threads);
      const int end = std::min(count, first + std::max(share, least));
      if (!stage.next.compare_exchange_weak(first, end, std::memory_order_relaxed)) continue;
      work(first, end);
      finished += end - first;
      first = stage.next.load(std::memory_order_relaxed);
    }
    if (finished > 0) stage.done.fetch_add(finished, std::memory_order_release);
    for (int spins = 0; stage.done.load(std::memory_order_acquire) < count; spins++) {
      if (spins < kSpins) Pause();
      else Yield();
    }
  }

 private:
  static constexpr int kSpins = 2000;  // some 20 µs; then the core may be needed by the thread waited for

  struct alignas(64) Stage {
    std::atomic<int> next{0};
    std::atomic<int> done{0};
  };
  std::vector<Stage> stages_;
  std::atomic<int> joined_{0};
};

}  // namespace onebit
