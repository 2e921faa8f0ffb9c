// `--name value` pairs of the command line.
#pragma once

#include <initializer_list>
#include <map>
#include <string>

namespace splitkit {

// A command line that cannot be understood; the program exits with 2.
struct UsageError {
    std::string message;
};

class Arguments {
public:
    // Everything after the command. Throws UsageError: not pairs, or a name that is not in `known`.
    Arguments(int argc, char** argv, std::initializer_list<const char*> known);

    // Throws UsageError: not given.
    const std::string& text(const std::string& name) const;
    std::string text(const std::string& name, const std::string& otherwise) const;

    // Throws UsageError: not a number, or outside the range.
    long integer(const std::string& name, long otherwise, long least, long most) const;
    double number(const std::string& name, double otherwise, double least, double most) const;

private:
    std::map<std::string, std::string> given_;
};

}  // namespace splitkit
