// Binds the runner to the generated C: compiled with -DHALF=NAME, beside NAME.h.
#include "half.h"

#include "clock.h"
#include "error.h"
#include "hook.h"

// `sensor` and `_run` make `sensor_run`.
#define JOIN_EXPANDED(a, b) a##b
#define JOIN(a, b) JOIN_EXPANDED(a, b)
#define TEXT_EXPANDED(a) #a
#define TEXT(a) TEXT_EXPANDED(a)
#define OF_HALF(suffix) JOIN(HALF, suffix)

#include TEXT(HALF.h)

namespace splitkit::half {

namespace {

std::uint64_t* stamps = nullptr;  // where the hook writes; null when nobody asks for times

TensorType type_of(const char* dtype, std::vector<std::uint32_t> shape) {
    return {dtype_named(dtype), std::move(shape)};
}

void check(int status) {
    if (status != 0) throw Error(std::string(name) + ": a kernel failed with " + std::to_string(status));
}

}  // namespace

const char* const name = TEXT(HALF);

int kernels() { return OF_HALF(_KERNELS); }

void init() { check(OF_HALF(_init)()); }

extern "C" void splitkit_after_kernel(int index) {
    if (stamps) stamps[index + 1] = now_ns();
}

std::vector<std::uint64_t> run_stamped(const std::uint8_t* in, std::uint8_t* out) {
    std::vector<std::uint64_t> readings(static_cast<std::size_t>(kernels()) + 1);
    stamps = readings.data();
    run(in, out);
    stamps = nullptr;
    return readings;
}

}  // namespace splitkit::half
