// A pool of threads that the kernels share. One parallel region runs at a time; its barrier spins
// briefly, then yields, then sleeps, so that it neither collapses when the cores are shared nor
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
  // task(context, index, count): called once for each index in [0, count), count = threads().
  using Task = void (*)(void* context, int index, int count);

  // The process-wide pool; made at first use with as many threads as the CPU has cores.
  static ThreadPool& Shared();

  // Sets how many threads (the caller included) a region uses; n < 1 means one a core.
  void SetThreads(int n);
  int threads() const { return threads_; }

  // Runs task on every thread, the caller as index 0, and returns when all have ended.
  // May be called from any thread; calls wait for each other. Not re-entrant from a task.
  void Run(Task task, void* context);

  // The same for a callable: f(int index, int count). No allocation.
  template <typename F>
  void Parallel(F&& f) {
    using Callable = std::remove_reference_t<F>;
    Run([](void* context, int index, int count) { (*static_cast<Callable*>(context))(index, count); }, &f);
  }

  ~ThreadPool();

 private:
  ThreadPool();
  void Start(int n);
  void Stop();
  void Work(int index, unsigned seen);

  std::mutex run_mutex_;    // one region at a time
  std::mutex sleep_mutex_;  // guards sleeping workers
  std::condition_variable wake_;
  std::vector<std::thread> workers_;
  std::atomic<unsigned> generation_{0};
  std::atomic<int> pending_{0};
  std::atomic<int> sleeping_{0};
  std::atomic<bool> stop_{false};
  Task task_ = nullptr;
  void* context_ = nullptr;
  int threads_ = 1;
};

}  // namespace onebit
