// Typed arrays that workers read and write off the main thread, and results copied out of them.
#pragma once

#include <napi.h>

#include <cstdint>
#include <cstring>
#include <vector>

namespace onebit {

// Keeps a typed array alive and in place while a worker reads or writes it.
class HeldBytes {
 public:
  explicit HeldBytes(Napi::Value value)
      : reference_(Napi::Persistent(value.As<Napi::Object>())),
        data_(static_cast<uint8_t*>(value.As<Napi::TypedArray>().ArrayBuffer().Data()) +
              value.As<Napi::TypedArray>().ByteOffset()),
        length_(value.As<Napi::TypedArray>().ByteLength()) {}
  uint8_t* data() const { return data_; }
  size_t length() const { return length_; }
  Napi::Value value() const { return reference_.Value(); }

 private:
  Napi::ObjectReference reference_;
  uint8_t* data_;
  size_t length_;
};

template <typename Array, typename T>
Array CopyOut(Napi::Env env, const std::vector<T>& values) {
  Array array = Array::New(env, values.size());
  if (!values.empty()) std::memcpy(array.Data(), values.data(), values.size() * sizeof(T));
  return array;
}

}  // namespace onebit
