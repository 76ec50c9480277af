// The pool of threads in WebAssembly: JavaScript's workers enter it (Work) and never leave. In place of server/native's
// own thread_pool.h, whose interface this is; this build's C++ library has neither threads nor mutexes.
#pragma once

#include <atomic>
#include <type_traits>

namespace onebit {

class ThreadPool {
 public:
  static ThreadPool& Shared();

  // Regions are the caller's alone until so many threads, the caller included, are told of. malloc is not made for
  // several threads: regions that allocate (loading) come before.
  void SetThreads(int n) { threads_ = n; }
  int threads() const { return threads_; }

  // As the native one. Only one thread may call.
  template <typename F>
  void Share(F&& f) {
    using Callable = std::remove_reference_t<F>;
    Run([](void* context) { (*static_cast<Callable*>(context))(); }, const_cast<void*>(static_cast<const void*>(&f)));
  }

  // A worker's life.
  [[noreturn]] void Work();

 private:
  using Task = void (*)(void* context);
  static constexpr int kClosed = -(1 << 20);

  void Run(Task task, void* context);

  std::atomic<int> generation_{0};
  std::atomic<int> guests_{kClosed};  // threads inside of the region; negative while none is open
  std::atomic<int> sleeping_{0};
  Task task_ = nullptr;
  void* context_ = nullptr;
  int threads_ = 1;
};

}  // namespace onebit
