// Memory for weights, caches and scratch: whole pages from the system, zeroed, 64-byte aligned (or
// more), and counted against the process only where touched.
#pragma once

#include <cstddef>
#include <cstdint>

namespace onebit {

class Pages {
 public:
  enum class Use {
    kStreamed,  // read from end to end again and again: 2 MB pages where the system has them
    kSparse,    // touched little by little (KV cache): small pages, so that only what is used counts
  };

  Pages() = default;
  // Throws std::bad_alloc.
  Pages(size_t bytes, Use use);
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
};

}  // namespace onebit
