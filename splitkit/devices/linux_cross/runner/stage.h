// The half as a stage of a system: computes here, lasts as long as on the hardware it stands for.
#pragma once

#include <cstdint>

#include "arguments.h"
#include "patience.h"

namespace splitkit {

class Stage {
public:
    // Of `--time-scale X` (lasts X times what the half takes here) and `--lasting-us X` (lasts that long whatever
    // happens here); without them it lasts as long as it takes.
    Stage(const Arguments& arguments, const Patience& patience);

    // Runs the half and returns when the stage was over, which is now or just past. An emulated stage ends when it is
    // due, counted from `start_ns`, however late this thread woke up.
    std::uint64_t run(const std::uint8_t* in, std::uint8_t* out, std::uint64_t start_ns) const;

private:
    std::uint64_t lasting_ns(const std::uint8_t* in, std::uint8_t* out) const;

    double time_scale_;
    std::uint64_t fixed_ns_;
    Patience patience_;
};

}  // namespace splitkit
