// The frames between a sensor and an aggregator, as splitkit's docs/wire.md describes them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tensor.h"

namespace splitkit::wire {

constexpr std::size_t header_bytes = 68;
constexpr std::size_t max_rank = 8;
constexpr std::uint32_t max_payload_bytes = 1u << 28;

using BundleKey = std::array<std::uint8_t, 16>;
using Bytes = std::vector<std::uint8_t>;

enum class Kind : std::uint8_t { hello = 1, welcome = 2, refuse = 3, capture = 4, tensor = 5, end = 6 };

const char* name_of(Kind kind);

struct Message {
    Kind kind = Kind::end;
    BundleKey bundle{};
    std::uint16_t view = 0;
    std::uint32_t frame = 0;
    TensorType type;  // Dtype::none without a tensor
    float scale = 1.0f;
    std::int32_t zero_point = 0;
    std::uint64_t captured_ns = 0;
    std::uint64_t sent_ns = 0;
    Bytes payload;
};

// A checked header: the message without its payload, and what is still to be read.
struct Header {
    Message message;
    std::uint32_t payload_bytes = 0;
    std::uint32_t payload_crc = 0;
};

// Header and shape; the payload follows as it is.
Bytes encode_head(const Message& message);

// Whether what has arrived so far may be the beginning of a message.
bool may_begin(const Bytes& head);

// How many bytes of shape follow these `header_bytes` bytes. Throws Error: another protocol, version or a wild rank.
std::size_t shape_bytes(const std::uint8_t* header);

// Throws Error: a wrong checksum, or a field that makes no sense.
Header decode_head(const Bytes& head);

// Throws Error: the payload's checksum is wrong.
void check_payload(const Header& header);

std::string hex(const BundleKey& key);

}  // namespace splitkit::wire
