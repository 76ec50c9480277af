// A pool of threads that the kernels share. One parallel region runs at a time; whoever waits spins
// briefly, then yields, then sleeps, so that the pool neither collapses when the cores are shared nor
// burns them while idle.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace onebit {

class ThreadPool {
 public:
  // The process-wide pool; made at first use with as many threads as the CPU has cores.
  static ThreadPool& Shared();

  // Sets how many threads (the caller included) a region uses; n < 1 means one a core.
  void SetThreads(int n);
  int threads() const { return threads_; }

  // Runs f() on the caller and on those threads that come while it works, and returns when all of these have ended;
  // f takes its pieces from a counter that all share, until none is left. A thread that has not begun is never
  // waited for: on a machine with other work, it may not be scheduled for many milliseconds. No allocation.
  // May be called from any thread; calls wait for each other. Not re-entrant from f.
  template <typename F>
  void Share(F&& f) {
    using Callable = std::remove_reference_t<F>;
    Run([](void* context) { (*static_cast<Callable*>(context))(); }, Erase(&f));
  }

  // The pieces of Share: f(i) for each i in [0, count), each once, by whoever is free.
  template <typename F>
  void ForEach(long count, F&& f) {
    if (count <= 1 || threads_ == 1) {
      for (long i = 0; i < count; i++) f(i);
      return;
    }
    std::atomic<long> next{0};
    Share([&] {
      for (long i; (i = next.fetch_add(1, std::memory_order_relaxed)) < count;) f(i);
    });
  }

  ~ThreadPool();

 private:
  using Task = void (*)(void* context);
  static constexpr int kClosed = -(1 << 20);

  // The context of a task is read back as what it was, const or not.
  static void* Erase(const void* callable) { return const_cast<void*>(callable); }

  void Run(Task task, void* context);
  void Announce();

  ThreadPool();
  void Start(int n);
  void Stop();
  void Work(unsigned seen);

  std::mutex run_mutex_;    // one region at a time
  std::mutex sleep_mutex_;  // guards sleeping workers
  std::condition_variable wake_;
  std::vector<std::thread> workers_;
  std::atomic<unsigned> generation_{0};
  std::atomic<int> guests_{kClosed};  // threads inside of the region; negative while none is open
  std::atomic<int> sleeping_{0};
  std::atomic<bool> stop_{false};
  Task task_ = nullptr;
  void* context_ = nullptr;
  int threads_ = 1;
};

}  // namespace onebit
