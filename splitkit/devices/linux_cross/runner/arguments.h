// `--name value` pairs and `--flag`s of the command line.
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
    // Everything after the command: pairs of a name in `known` and a value, and names in `flags`. Throws UsageError.
    Arguments(int argc, char** argv, std::initializer_list<const char*> known,
              std::initializer_list<const char*> flags = {});

    // Whether a flag was given.
    bool has(const std::string& flag) const { return given_.count(flag) > 0; }

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
