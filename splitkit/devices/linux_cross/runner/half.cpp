// Binds the runner to the generated C: compiled beside NAME.h with -DHALF=NAME, -DHALF_MACRO=NAME in capitals,
// -DHALF_INPUT=PREFIX of the macros that describe its input, and -DHALF_MASK=ELEMENTS of its mask, 0 for none.
#include "half.h"

#include "arguments.h"
#include "clock.h"
#include "error.h"
#include "hook.h"

#define JOIN_EXPANDED(a, b) a##b
#define JOIN(a, b) JOIN_EXPANDED(a, b)
#define TEXT_EXPANDED(a) #a
#define TEXT(a) TEXT_EXPANDED(a)
#define FUNCTION(suffix) JOIN(HALF, suffix)     // `sensor` and `_run` make `sensor_run`
#define MACRO(suffix) JOIN(HALF_MACRO, suffix)  // `SENSOR` and `_KERNELS` make what that macro says
#define INPUT(suffix) JOIN(HALF_INPUT, suffix)

#include TEXT(HALF.h)

namespace splitkit::half {

namespace {

std::uint64_t* stamps = nullptr;  // where the hook writes; null while nobody asks for times

void check(int status) {
    if (status != 0) throw Error(std::string(name) + ": the generated code returned " + std::to_string(status));
}

// The generated function's own types, whatever they are.
template <typename In, typename Out>
[[maybe_unused]] int call(int (*function)(const In*, Out*), const std::uint8_t* in, std::uint8_t* out, const float*) {
    static_assert(sizeof(Out) == MACRO(_OUTPUT_BYTES), "one output, without padding");
    return function(reinterpret_cast<const In*>(in), reinterpret_cast<Out*>(out));
}

template <typename In, typename Out>
[[maybe_unused]] int call(int (*function)(const In*, const float*, Out*), const std::uint8_t* in, std::uint8_t* out,
                          const float* mask) {
    static_assert(sizeof(Out) == MACRO(_OUTPUT_BYTES), "one output, without padding");
    static const std::vector<float> all(HALF_MASK, 1.0f);
    return function(reinterpret_cast<const In*>(in), mask ? mask : all.data(), reinterpret_cast<Out*>(out));
}

}  // namespace

const char* const name = TEXT(HALF);

const TensorType& input() {
    static const TensorType type{dtype_named(INPUT(_DTYPE)), INPUT(_SHAPE)};
    return type;
}

const TensorType& output() {
    static const TensorType type{dtype_named(MACRO(_OUTPUT_DTYPE)), MACRO(_OUTPUT_SHAPE)};
    return type;
}

int kernels() { return MACRO(_KERNELS); }

std::size_t mask_elements() { return HALF_MASK; }

void open(const std::string& directory, const TensorType&) {
    if (!directory.empty()) throw UsageError{"--half: this program is built around its half"};
}

void init() { check(FUNCTION(_init)()); }

std::uint64_t run(const std::uint8_t* in, std::uint8_t* out, const float* mask) {
    const std::uint64_t start = now_ns();
    check(call(FUNCTION(_run), in, out, mask));
    return now_ns() - start;
}

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
