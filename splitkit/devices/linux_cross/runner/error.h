// The one exception of the runner: what() is a line for its user.
#pragma once

#include <stdexcept>

namespace splitkit {

struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

}  // namespace splitkit
