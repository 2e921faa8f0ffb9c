#include "json.h"

#include <algorithm>
#include <cstddef>

#include "error.h"

namespace splitkit {

namespace {

constexpr int max_depth = 64;

class Reader {
public:
    explicit Reader(const std::string& text) : text_(text) {}

    Leaves document() {
        value("", 0);
        space();
        if (at_ != text_.size()) fail();
        return std::move(leaves_);
    }

private:
    [[noreturn]] void fail() const { throw Error("not JSON at byte " + std::to_string(at_)); }

    void space() { at_ = std::min(text_.find_first_not_of(" \t\r\n", at_), text_.size()); }

    char peek() {
        space();
        if (at_ == text_.size()) fail();
        return text_[at_];
    }

    bool take(char wanted) {
        if (peek() != wanted) return false;
        ++at_;
        return true;
    }

    void need(char wanted) {
        if (!take(wanted)) fail();
    }

    std::string string() {
        need('"');
        const std::size_t start = at_;
        for (; at_ < text_.size() && text_[at_] != '"'; ++at_)
            if (text_[at_] == '\\') ++at_;
        if (at_ >= text_.size()) fail();
        return text_.substr(start, at_++ - start);
    }

    std::string word() {
        const std::size_t start = at_;
        at_ = std::min(text_.find_first_of(",]} \t\r\n", at_), text_.size());
        if (at_ == start) fail();
        return text_.substr(start, at_ - start);
    }

    void value(const std::string& path, int depth) {
        if (depth > max_depth) fail();
        const char first = peek();
        if (first == '{') return object(path, depth);
        if (first == '[') return array(path, depth);
        leaves_[path] = first == '"' ? string() : word();
    }

    void object(const std::string& path, int depth) {
        need('{');
        if (take('}')) return;
        do {
            peek();
            const std::string key = string();
            need(':');
            value(path.empty() ? key : path + "." + key, depth + 1);
        } while (take(','));
        need('}');
    }

    void array(const std::string& path, int depth) {
        need('[');
        if (take(']')) return;
        std::size_t index = 0;
        do value(path + "." + std::to_string(index++), depth + 1);
        while (take(','));
        need(']');
    }

    const std::string& text_;
    std::size_t at_ = 0;
    Leaves leaves_;
};

}  // namespace

Leaves read_json(const std::string& text) { return Reader(text).document(); }

}  // namespace splitkit
