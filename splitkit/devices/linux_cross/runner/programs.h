// The commands of the runner. Each throws Error when it cannot go on, UsageError on a wrong command line.
#pragma once

namespace splitkit {

void describe_program(int argc, char** argv);
void run_program(int argc, char** argv);
void bench_program(int argc, char** argv);
void sensor_program(int argc, char** argv);
void aggregator_program(int argc, char** argv);

}  // namespace splitkit
