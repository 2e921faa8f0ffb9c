#include <csignal>
#include <cstdio>
#include <cstring>

#include "arguments.h"
#include "error.h"
#include "programs.h"

namespace {

constexpr const char usage[] =
    "One half of a split network, compiled by splitkit.\n"
    "\n"
    "  describe                                what the half takes and gives, as JSON\n"
    "  run                                     frames on stdin, outputs on stdout, raw and one after the other\n"
    "  bench [--repeats N] [--warm-up N]       wall times of the whole and of every kernel in ns, as JSON\n"
    "  sensor --manifest FILE --images FILE --connect HOST[:PORT] [--view K] [--timeout S]\n"
    "  aggregator --manifest FILE [--listen HOST[:PORT]] [--frames N] [--records FILE] [--timeout S] [--insecure]\n"
    "\n"
    "HOST is numeric, with a port as in 10.0.0.2:4747 or [fd00::2]:4747. --insecure: listen where others can connect;\n"
    "this program knows no TLS, splitkit's docs/wire.md shows a tunnel. --timeout: how long a peer may be silent, beside a\n"
    "multiple of what the bundle's link takes.\n"
    "--manifest is the bundle's manifest.json. --images holds raw frames of one view, seen over and over.\n"
    "\n"
    "To play a system on one machine, as splitkit does: --half DIR (a half compiled by tvm, for a runner that is built\n"
    "around none; left out, its input is its output), --time-scale X, --lasting-us T (how long the sensor's half takes),\n"
    "--link-overhead-us T, --link-bytes-per-s B, --shared-link FILE (the link's rate), --cpus N,N, --spin-us T,\n"
    "--poll-us T (how long the clock and the socket are polled, before a deadline and for a peer).\n";

struct Command {
    const char* name;
    void (*program)(int, char**);
};

constexpr Command commands[] = {
    {"describe", splitkit::describe_program},     {"run", splitkit::run_program},
    {"bench", splitkit::bench_program},           {"sensor", splitkit::sensor_program},
    {"aggregator", splitkit::aggregator_program},
};

}  // namespace

int main(int argc, char** argv) {
    std::signal(SIGPIPE, SIG_IGN);  // a reader that went away is an error to report, not a reason to die silently
    const char* name = argc > 1 ? argv[1] : "";
    if (std::strcmp(name, "--help") == 0 || std::strcmp(name, "-h") == 0) {
        std::fputs(usage, stdout);
        return 0;
    }
    try {
        for (const Command& command : commands) {
            if (std::strcmp(name, command.name) != 0) continue;
            command.program(argc - 2, argv + 2);
            return 0;
        }
        std::fputs(usage, stderr);
        return 2;
    } catch (const splitkit::UsageError& error) {
        std::fprintf(stderr, "error: %s: %s\n", name, error.message.c_str());
        return 2;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 1;
    }
}
