#include "manifest.h"

#include <cmath>
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

std::uint32_t whole(const Leaves& leaves, const std::string& name, double least, double most) {
    const double value = number(leaves, name);
    if (!(value >= least && value <= most) || value != std::floor(value))
        throw Error(name + " is " + field(leaves, name) + ", not a whole number in its range");
    return static_cast<std::uint32_t>(value);
}

double positive(const Leaves& leaves, const std::string& name, double least) {
    const double value = number(leaves, name);
    if (!(value >= least && value <= 1e18)) throw Error(name + " is " + field(leaves, name));
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
        manifest.link.shape.push_back(whole(leaves, "link.shape." + std::to_string(i), 1, wire::max_payload_bytes));
    if (manifest.link.shape.size() > wire::max_rank || manifest.link.bytes() > wire::max_payload_bytes)
        throw Error("link.shape is larger than a message can be: " + manifest.link.text());
    manifest.scale = static_cast<float>(number(leaves, "link.scale"));
    manifest.zero_point = static_cast<std::int32_t>(whole(leaves, "link.zero_point", 0, 255));
    manifest.views = whole(leaves, "views", 1, 65535);
    manifest.link_bytes_per_s = positive(leaves, "system.link.bandwidth_bytes_per_s", 1e-6);
    manifest.link_overhead_us = positive(leaves, "system.link.overhead_us", 0.0);
    manifest.link_shared = field(leaves, "system.link.shared") == "true";
    return manifest;
}

}  // namespace

double Manifest::transfer_s(std::size_t bytes) const {
    const double one_s = link_overhead_us / 1e6 + static_cast<double>(bytes) / link_bytes_per_s;
    return link_shared ? views * one_s : one_s;
}

Manifest read_manifest(const std::string& path) {
    const wire::Bytes content = read_file(path);
    try {
        return interpret(read_json(std::string(content.begin(), content.end())));
    } catch (const Error& error) {
        throw Error(path + ": " + error.what());
    }
}

}  // namespace splitkit
