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
    Run([](void* context, int index, int count) { (*static_cast<Callable*>(context))(index, count); }, Erase(&f));
  }

  // Runs f() on the caller and on those threads that come while it works; f takes its pieces from a counter
  // that all share, until none is left. Unlike Parallel it never waits for a thread that has not begun: on a
  // machine with other work, a thread may not be scheduled for many milliseconds. No allocation.
  template <typename F>
  void Share(F&& f) {
    using Callable = std::remove_reference_t<F>;
    RunShared([](void* context, int, int) { (*static_cast<Callable*>(context))(); }, Erase(&f));
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
  // Bit 0 of a generation says that the region is shared: taking part is optional.
  static constexpr unsigned kShared = 1, kNext = 2;
  static constexpr int kClosed = -(1 << 20);

  // The context of a task is read back as what it was, const or not.
  static void* Erase(const void* callable) { return const_cast<void*>(callable); }

  void RunShared(Task task, void* context);
  void Announce(unsigned kind);

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
  std::atomic<int> guests_{kClosed};  // threads inside of a shared region; negative while none is open
  std::atomic<int> sleeping_{0};
  std::atomic<bool> stop_{false};
  Task task_ = nullptr;
  void* context_ = nullptr;
  int threads_ = 1;
};

}  // namespace onebit
