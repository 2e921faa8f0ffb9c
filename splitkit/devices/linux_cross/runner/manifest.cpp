#include "manifest.h"

#include <cstdlib>

#include "error.h"
#include "files.h"
#include "json.h"

namespace splitkit {

namespace {

const std::string& field(const Leaves& leaves, const std::string& name) {
    const auto found = leaves.find(name);
    if (found == leaves.end()) throw Error(name + " is missing");
    return found->second;
}

double number(const Leaves& leaves, const std::string& name) {
    const std::string& text = field(leaves, name);
    char* end = nullptr;
    const double value = std::strtod(text.c_str(), &end);
    if (end == text.c_str() || *end != '\0') throw Error(name + " is not a number");
    return value;
}

wire::BundleKey key_of(const std::string& id) {
    if (id.size() != 64 || id.find_first_not_of("0123456789abcdef") != std::string::npos)
        throw Error("id is not 64 hexadecimal digits");
    wire::BundleKey key;
    for (std::size_t i = 0; i < key.size(); ++i)
        key[i] = static_cast<std::uint8_t>(std::stoul(id.substr(2 * i, 2), nullptr, 16));
    return key;
}

Manifest interpret(const Leaves& leaves) {
    Manifest manifest;
    manifest.bundle = key_of(field(leaves, "id"));
    manifest.link.dtype = dtype_named(field(leaves, "link.dtype"));
    if (manifest.link.dtype == Dtype::none) throw Error("link.dtype is unknown: " + field(leaves, "link.dtype"));
    for (std::size_t i = 0; leaves.count("link.shape." + std::to_string(i)); ++i)
        manifest.link.shape.push_back(static_cast<std::uint32_t>(number(leaves, "link.shape." + std::to_string(i))));
    manifest.scale = static_cast<float>(number(leaves, "link.scale"));
    manifest.zero_point = static_cast<std::int32_t>(number(leaves, "link.zero_point"));
    manifest.views = static_cast<std::uint32_t>(number(leaves, "views"));
    return manifest;
}

}  // namespace

Manifest read_manifest(const std::string& path) {
    const wire::Bytes content = read_file(path);
    try {
        return interpret(read_json(std::string(content.begin(), content.end())));
    } catch (const Error& error) {
        throw Error(path + ": " + error.what());
    }
}

}  // namespace splitkit
