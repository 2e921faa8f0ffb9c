#include "arguments.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace splitkit {

Arguments::Arguments(int argc, char** argv, std::initializer_list<const char*> known,
                     std::initializer_list<const char*> flags) {
    for (int i = 0; i < argc; ++i) {
        const std::string name = argv[i];
        if (std::find(flags.begin(), flags.end(), name) != flags.end()) {
            given_[name] = "";
            continue;
        }
        if (std::find(known.begin(), known.end(), name) == known.end()) throw UsageError{"unknown argument " + name};
        if (++i == argc) throw UsageError{name + " needs a value"};
        given_[name] = argv[i];
    }
}

const std::string& Arguments::text(const std::string& name) const {
    const auto found = given_.find(name);
    if (found == given_.end()) throw UsageError{name + " is missing"};
    return found->second;
}

std::string Arguments::text(const std::string& name, const std::string& otherwise) const {
    const auto found = given_.find(name);
    return found == given_.end() ? otherwise : found->second;
}

long Arguments::integer(const std::string& name, long otherwise, long least, long most) const {
    const auto found = given_.find(name);
    if (found == given_.end()) return otherwise;
    char* end = nullptr;
    const long value = std::strtol(found->second.c_str(), &end, 10);
    if (end == found->second.c_str() || *end != '\0' || value < least || value > most)
        throw UsageError{name + ": a number from " + std::to_string(least) + " to " + std::to_string(most) +
                         " is needed, not '" + found->second + "'"};
    return value;
}

double Arguments::number(const std::string& name, double otherwise, double least, double most) const {
    const auto found = given_.find(name);
    if (found == given_.end()) return otherwise;
    char* end = nullptr;
    const double value = std::strtod(found->second.c_str(), &end);
    if (end == found->second.c_str() || *end != '\0' || !(value >= least && value <= most))
        throw UsageError{name + ": a number is needed, not '" + found->second + "'"};
    return value;
}

}  // namespace splitkit
