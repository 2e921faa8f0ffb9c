#include "stage.h"

#include <algorithm>
#include <vector>

#include "half.h"

namespace splitkit {

namespace {

constexpr std::size_t emulation_runs = 5;  // from whose median an emulated stage takes its time

}  // namespace

Stage::Stage(const Arguments& arguments, const Patience& patience)
    : time_scale_(arguments.number("--time-scale", 1.0, 1e-6, 1e6)),
      fixed_ns_(static_cast<std::uint64_t>(1e3 * arguments.number("--lasting-us", 0.0, 0.0, 1e12))),
      patience_(patience) {}

std::uint64_t Stage::run(const std::uint8_t* in, std::uint8_t* out, std::uint64_t start_ns) const {
    half::run(in, out);
    const std::uint64_t due_ns = start_ns + lasting_ns(in, out), now = now_ns();
    if (due_ns <= now) return now;
    patience_.wait_until(due_ns);
    return due_ns;
}

// 0 where nothing is emulated. The half runs anew, for each frame, on its input: what surrounds it is not magnified.
std::uint64_t Stage::lasting_ns(const std::uint8_t* in, std::uint8_t* out) const {
    if (fixed_ns_ > 0 || time_scale_ <= 1.0) return fixed_ns_;
    // Timing again and again must itself fit into the emulated time.
    std::vector<std::uint64_t> times(time_scale_ > 2.0 * emulation_runs ? emulation_runs : 1);
    for (std::uint64_t& time : times) time = half::run(in, out);
    std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2), times.end());
    return static_cast<std::uint64_t>(static_cast<double>(times[times.size() / 2]) * time_scale_);
}

}  // namespace splitkit
