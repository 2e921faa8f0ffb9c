// Type of a tensor: dtype (numbered as on the wire) and static shape.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace splitkit {

enum class Dtype : std::uint8_t { none = 0, uint8 = 1, float16 = 2, float32 = 3 };

struct TensorType {
    Dtype dtype = Dtype::none;
    std::vector<std::uint32_t> shape;

    // Size in bytes, C order without padding; 0 without a dtype. The largest size there is where it does not fit.
    std::size_t bytes() const;

    // As in `uint8 [1, 8, 4, 4]`.
    std::string text() const;

    bool operator==(const TensorType& other) const { return dtype == other.dtype && shape == other.shape; }
    bool operator!=(const TensorType& other) const { return !(*this == other); }
};

// `uint8`, `float16`, `float32`; anything else is Dtype::none.
Dtype dtype_named(const std::string& name);

}  // namespace splitkit
