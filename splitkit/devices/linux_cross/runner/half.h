// The compiled half that this program runs: one input and perhaps a mask, one output, static memory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tensor.h"

namespace splitkit::half {

// As the generated code calls it.
extern const char* const name;

const TensorType& input();
const TensorType& output();
int kernels();

// Floats of the mask that the half takes behind its input, 1 for a view that is there and 0 for one that is not; 0 of a
// half that takes none.
std::size_t mask_elements();

// Call first: what `directory` holds, or, if that is empty, the half that this program is built around; a program built
// around none is then the identity on `type`. Throws Error or UsageError: it cannot be loaded, or not by this program.
void open(const std::string& directory, const TensorType& type);

// Call once, before the first run. Throws Error.
void init();

// Both buffers have exactly the bytes of their types; without a mask all views are there. Returns the ns that the
// compiled code took. Throws Error.
std::uint64_t run(const std::uint8_t* in, std::uint8_t* out, const float* mask = nullptr);

// Runs once and returns kernels() + 1 readings of the clock in ns: before the first kernel and after every one.
std::vector<std::uint64_t> run_stamped(const std::uint8_t* in, std::uint8_t* out);

}  // namespace splitkit::half
