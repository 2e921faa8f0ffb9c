// The compiled half that this program is built around: one input, one output, static memory.
#pragma once

#include <cstdint>
#include <vector>

#include "tensor.h"

namespace splitkit::half {

// As the generated code calls it.
extern const char* const name;

const TensorType& input();
const TensorType& output();
int kernels();

// Call once, before the first run. Throws Error.
void init();

// Both buffers have exactly the bytes of their types. Throws Error.
void run(const std::uint8_t* in, std::uint8_t* out);

// Runs once and returns kernels() + 1 readings of the clock in ns: before the first kernel and after every one.
std::vector<std::uint64_t> run_stamped(const std::uint8_t* in, std::uint8_t* out);

}  // namespace splitkit::half
