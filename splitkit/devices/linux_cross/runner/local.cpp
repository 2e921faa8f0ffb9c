// The commands that need no peer: describe, run, bench.
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstring>

#include "arguments.h"
#include "clock.h"
#include "error.h"
#include "files.h"
#include "half.h"
#include "programs.h"

namespace splitkit {

namespace {

using Bytes = std::vector<std::uint8_t>;

// Values that neither vanish nor overflow nor are subnormal, whatever the dtype: 0.5, or bytes of every size.
Bytes sample_input() {
    Bytes input(half::input().bytes());
    for (std::size_t i = 0; i < input.size(); ++i) {
        switch (half::input().dtype) {
            case Dtype::float32: input[i] = i % 4 == 3 ? 0x3f : 0; break;
            case Dtype::float16: input[i] = i % 2 == 1 ? 0x38 : 0; break;
            default: input[i] = static_cast<std::uint8_t>(i * 37 % 251);
        }
    }
    return input;
}

void print_times(const char* name, const std::vector<std::uint64_t>& times) {
    std::printf("\"%s\": [", name);
    for (std::size_t i = 0; i < times.size(); ++i) std::printf("%s%" PRIu64, i ? ", " : "", times[i]);
    std::printf("]");
}

}  // namespace

void describe_program(int argc, char** argv) {
    const Arguments arguments(argc, argv, {"--half"});
    half::open(arguments.text("--half", ""), {});
    const auto print = [](const char* name, const TensorType& type) {
        std::printf("\"%s\": {\"type\": \"%s\", \"bytes\": %zu}, ", name, type.text().c_str(), type.bytes());
    };
    std::printf("{\"name\": \"%s\", ", half::name);
    print("input", half::input());
    print("output", half::output());
    std::printf("\"kernels\": %d}\n", half::kernels());
}

void run_program(int argc, char** argv) {
    const Arguments arguments(argc, argv, {"--half"});
    half::open(arguments.text("--half", ""), {});
    half::init();
    // A frame is the input and, of a half that takes one, the mask behind it.
    std::vector<float> mask(half::mask_elements());
    const std::size_t input_bytes = half::input().bytes(), mask_bytes = mask.size() * sizeof(float);
    Bytes in(input_bytes + mask_bytes), out(half::output().bytes());
    while (read_frame(STDIN_FILENO, in)) {
        if (mask_bytes) std::memcpy(mask.data(), in.data() + input_bytes, mask_bytes);
        half::run(in.data(), out.data(), mask_bytes ? mask.data() : nullptr);
        write_all(STDOUT_FILENO, out.data(), out.size());
    }
}

void bench_program(int argc, char** argv) {
    const Arguments arguments(argc, argv, {"--half", "--repeats", "--warm-up"});
    const long repeats = arguments.integer("--repeats", 50, 1, 1000000);
    const long warm_up = arguments.integer("--warm-up", 10, 0, 1000000);
    half::open(arguments.text("--half", ""), {});
    half::init();
    const Bytes in = sample_input();
    Bytes out(half::output().bytes());
    for (long i = 0; i < warm_up; ++i) half::run(in.data(), out.data());
    std::vector<std::uint64_t> runs, kernels;
    for (long i = 0; i < repeats; ++i) runs.push_back(half::run(in.data(), out.data()));
    for (long i = 0; i < repeats; ++i) {
        const std::vector<std::uint64_t> stamps = half::run_stamped(in.data(), out.data());
        for (std::size_t k = 1; k < stamps.size(); ++k) kernels.push_back(stamps[k] - stamps[k - 1]);
    }
    std::printf("{\"schema_version\": 1, \"kernels\": %d, ", half::kernels());
    print_times("run_ns", runs);
    std::printf(", ");
    print_times("kernel_ns", kernels);  // run by run, kernels in call order
    std::printf("}\n");
}

}  // namespace splitkit
