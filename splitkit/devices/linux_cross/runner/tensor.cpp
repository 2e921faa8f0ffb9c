#include "tensor.h"

#include <array>
#include <limits>

namespace splitkit {

namespace {

const std::array<const char*, 4> names = {"none", "uint8", "float16", "float32"};
const std::array<std::size_t, 4> sizes = {0, 1, 2, 4};

}  // namespace

std::size_t TensorType::bytes() const {
    std::size_t total = sizes[static_cast<std::size_t>(dtype)];
    for (const std::uint32_t extent : shape) {
        if (extent != 0 && total > std::numeric_limits<std::size_t>::max() / extent)
            return std::numeric_limits<std::size_t>::max();
        total *= extent;
    }
    return total;
}

std::string TensorType::text() const {
    std::string out = std::string(names[static_cast<std::size_t>(dtype)]) + " [";
    for (std::size_t i = 0; i < shape.size(); ++i) out += (i ? ", " : "") + std::to_string(shape[i]);
    return out + "]";
}

Dtype dtype_named(const std::string& name) {
    for (std::size_t i = 1; i < names.size(); ++i)
        if (name == names[i]) return static_cast<Dtype>(i);
    return Dtype::none;
}

}  // namespace splitkit
