// Which processors a program runs on, how it waits there, and that nobody disturbs it meanwhile.
#pragma once

#include "arguments.h"
#include "patience.h"

namespace splitkit {

// As `--cpus 0,1` says, for this thread and those it starts. Throws Error: this program may not use them.
void take_processors(const Arguments& arguments);

// Of `--spin-us` and `--poll-us`, both 0 unless given.
Patience patience_of(const Arguments& arguments);

// With `--cpus`, real-time priority for as long as it lives, where that is permitted: a stage's time is that of hardware
// which has nothing else to do.
class Undisturbed {
public:
    explicit Undisturbed(const Arguments& arguments);
    Undisturbed(const Undisturbed&) = delete;
    Undisturbed& operator=(const Undisturbed&) = delete;
    ~Undisturbed();

private:
    bool raised_;
};

}  // namespace splitkit
