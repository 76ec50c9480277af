// Reads the arguments of a call from JavaScript by position.
#pragma once
#include <napi.h>

#include <cstdint>
#include <string>

namespace onebit::training {

class Arguments {
 public:
  explicit Arguments(const Napi::CallbackInfo& info) : info_(info) {}

  // The data of a Float32Array of at least `least` elements.
  float* Floats(int i, std::int64_t least) const {
    Napi::Float32Array array = info_[i].As<Napi::Float32Array>();
    if (!info_[i].IsTypedArray() || array.TypedArrayType() != napi_float32_array) Fail(i, "must be a Float32Array");
    if (static_cast<std::int64_t>(array.ElementLength()) < least)
      Fail(i, "has " + std::to_string(array.ElementLength()) + " elements, needs " + std::to_string(least));
    return array.Data();
  }

  // The same, or null where the argument is null or undefined.
  float* FloatsOrNull(int i, std::int64_t least) const {
    return info_[i].IsNull() || info_[i].IsUndefined() ? nullptr : Floats(i, least);
  }

  // The data of an Int32Array of at least `least` elements, of which the first `least` lie in [0, limit).
  const std::int32_t* Indices(int i, std::int64_t least, std::int64_t limit) const {
    Napi::Int32Array array = info_[i].As<Napi::Int32Array>();
    if (!info_[i].IsTypedArray() || array.TypedArrayType() != napi_int32_array) Fail(i, "must be an Int32Array");
    if (static_cast<std::int64_t>(array.ElementLength()) < least)
      Fail(i, "has " + std::to_string(array.ElementLength()) + " elements, needs " + std::to_string(least));
    const std::int32_t* data = array.Data();
    for (std::int64_t j = 0; j < least; j++)
      if (data[j] < 0 || data[j] >= limit)
        Fail(i, "holds " + std::to_string(data[j]) + " at " + std::to_string(j) + ", outside of 0 to " +
                    std::to_string(limit - 1));
    return data;
  }

  std::int64_t Int(int i) const { return info_[i].As<Napi::Number>().Int64Value(); }
  float Number(int i) const { return info_[i].As<Napi::Number>().FloatValue(); }
  bool Flag(int i) const { return info_[i].As<Napi::Boolean>().Value(); }
  Napi::Value Nothing() const { return info_.Env().Undefined(); }
  Napi::Value Result(double value) const { return Napi::Number::New(info_.Env(), value); }

 private:
  [[noreturn]] void Fail(int i, const std::string& what) const {
    throw Napi::RangeError::New(info_.Env(), "training kernel: argument " + std::to_string(i) + " " + what);
  }

  const Napi::CallbackInfo& info_;
};

}  // namespace onebit::training
