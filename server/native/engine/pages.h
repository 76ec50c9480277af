// Memory for weights, caches and scratch: whole pages from the system, zeroed, 64-byte aligned (or
// more), and counted against the process only where touched.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#if !defined(__wasm__)
#include <mutex>
#endif

namespace onebit {

class PagePool;

class Pages {
 public:
  enum class Use {
    kStreamed,  // read from end to end again and again: 2 MB pages where the system has them
    kSparse,    // touched little by little (KV cache): small pages, so that only what is used counts
  };

  Pages() = default;
  // Throws std::bad_alloc.
  Pages(size_t bytes, Use use);
  // To be streamed as well; what is smaller than a page of 2 MB shares such pages with others of the pool.
  Pages(size_t bytes, PagePool& pool);
  ~Pages() { Free(); }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;
  Pages(Pages&& other) noexcept { Swap(other); }
  Pages& operator=(Pages&& other) noexcept {
    Swap(other);
    return *this;
  }

  size_t size() const { return size_; }
  uint8_t* data() const { return data_; }
  template <typename T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }

 private:
  void Swap(Pages& other);
  void Free();

  uint8_t* data_ = nullptr;
  size_t size_ = 0;
  void* mapping_ = nullptr;
  size_t mapped_ = 0;
  std::shared_ptr<Pages> shared_;  // whose memory this is, if not its own
};

#if defined(__wasm__)
// There are no pages to choose.
class PagePool {};
#else
// Many pieces in few mappings. Pages of 4 KB cost a stream dear: the hardware's prefetches end at every one of them.
// A mapping ends with the last piece in it. Any thread may take.
class PagePool {
 public:
  struct Piece {
    std::shared_ptr<Pages> mapping;
    uint8_t* data;
  };
  Piece Take(size_t bytes);

 private:
  std::mutex mutex_;
  std::shared_ptr<Pages> open_;
  size_t used_ = 0;
};
#endif

}  // namespace onebit
