#include "placement.h"

#include <sched.h>

#include <cerrno>
#include <cstring>
#include <sstream>

#include "error.h"

namespace splitkit {

namespace {

bool schedule(int policy, int priority) {
    sched_param parameters{};
    parameters.sched_priority = priority;
    return sched_setscheduler(0, policy, &parameters) == 0;
}

}  // namespace

void take_processors(const Arguments& arguments) {
    std::istringstream numbers(arguments.text("--cpus", ""));
    cpu_set_t chosen;
    CPU_ZERO(&chosen);
    for (std::string number; std::getline(numbers, number, ',');) {
        char* end = nullptr;
        const unsigned long cpu = std::strtoul(number.c_str(), &end, 10);
        if (end == number.c_str() || *end != '\0' || cpu >= CPU_SETSIZE)
            throw UsageError{"--cpus: numbers of processors are needed, not '" + number + "'"};
        CPU_SET(cpu, &chosen);
    }
    if (CPU_COUNT(&chosen) > 0 && sched_setaffinity(0, sizeof chosen, &chosen) != 0)
        throw Error("--cpus " + arguments.text("--cpus") + ": " + std::strerror(errno));
}

Patience patience_of(const Arguments& arguments) {
    const auto ns = [&](const char* name) {
        return static_cast<std::uint64_t>(1000 * arguments.integer(name, 0, 0, 1000000000));
    };
    return {ns("--spin-us"), ns("--poll-us")};
}

Undisturbed::Undisturbed(const Arguments& arguments)
    : raised_(!arguments.text("--cpus", "").empty() && schedule(SCHED_FIFO, sched_get_priority_min(SCHED_FIFO))) {}

Undisturbed::~Undisturbed() {
    if (raised_) schedule(SCHED_OTHER, 0);
}

}  // namespace splitkit
