#include "wire.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "crc32.h"
#include "error.h"

namespace splitkit::wire {

namespace {

constexpr char magic[] = "SPLK";
constexpr std::uint8_t version = 1;

// Where the fields lie.
enum Offset : std::size_t {
    at_version = 4,
    at_kind = 5,
    at_view = 6,
    at_frame = 8,
    at_zero_point = 12,
    at_bundle = 16,
    at_dtype = 32,
    at_rank = 33,
    at_reserved = 34,
    at_scale = 36,
    at_captured = 40,
    at_sent = 48,
    at_length = 56,
    at_payload_crc = 60,
    at_header_crc = 64,
};

// Byte by byte, so that the host's byte order and alignment do not matter.
template <typename Unsigned>
void put(Bytes& to, std::size_t at, Unsigned value) {
    for (std::size_t i = 0; i < sizeof value; ++i) to[at + i] = static_cast<std::uint8_t>(value >> (8 * i));
}

template <typename Unsigned>
Unsigned get(const std::uint8_t* from) {
    Unsigned value = 0;
    for (std::size_t i = 0; i < sizeof value; ++i)
        value = static_cast<Unsigned>(value | static_cast<Unsigned>(from[i]) << (8 * i));
    return value;
}

template <typename To, typename From>
To bits(From value) {
    static_assert(sizeof(To) == sizeof(From));
    To out;
    std::memcpy(&out, &value, sizeof out);
    return out;
}

std::uint32_t header_crc(const Bytes& head) {
    return crc32(head.data() + header_bytes, head.size() - header_bytes, crc32(head.data(), at_header_crc));
}

std::string hex32(std::uint32_t value) {
    char text[9];
    std::snprintf(text, sizeof text, "%08x", static_cast<unsigned>(value));
    return text;
}

std::string place(const Message& message) {
    return "frame " + std::to_string(message.frame) + " of view " + std::to_string(message.view);
}

}  // namespace

const char* name_of(Kind kind) {
    switch (kind) {
        case Kind::hello: return "HELLO";
        case Kind::welcome: return "WELCOME";
        case Kind::refuse: return "REFUSE";
        case Kind::capture: return "CAPTURE";
        case Kind::tensor: return "TENSOR";
        case Kind::end: return "END";
    }
    return "?";
}

Bytes encode_head(const Message& message) {
    const std::vector<std::uint32_t>& shape = message.type.shape;
    Bytes head(header_bytes + 4 * shape.size());
    std::memcpy(head.data(), magic, 4);
    head[at_version] = version;
    head[at_kind] = static_cast<std::uint8_t>(message.kind);
    put(head, at_view, message.view);
    put(head, at_frame, message.frame);
    put(head, at_zero_point, bits<std::uint32_t>(message.zero_point));
    std::memcpy(head.data() + at_bundle, message.bundle.data(), message.bundle.size());
    head[at_dtype] = static_cast<std::uint8_t>(message.type.dtype);
    head[at_rank] = static_cast<std::uint8_t>(shape.size());
    put(head, at_scale, bits<std::uint32_t>(message.scale));
    put(head, at_captured, message.captured_ns);
    put(head, at_sent, message.sent_ns);
    put(head, at_length, static_cast<std::uint32_t>(message.payload.size()));
    put(head, at_payload_crc, crc32(message.payload.data(), message.payload.size()));
    for (std::size_t i = 0; i < shape.size(); ++i) put(head, header_bytes + 4 * i, shape[i]);
    put(head, at_header_crc, header_crc(head));
    return head;
}

bool may_begin(const Bytes& head) {
    return std::memcmp(head.data(), magic, std::min<std::size_t>(head.size(), 4)) == 0;
}

std::size_t shape_bytes(const std::uint8_t* header) {
    if (std::memcmp(header, magic, 4) != 0) throw Error("the peer does not speak splitkit's protocol");
    if (header[at_version] != version)
        throw Error("the peer speaks version " + std::to_string(header[at_version]) +
                    " of the protocol, this program version " + std::to_string(version));
    if (header[at_rank] > max_rank)
        throw Error("damaged header: " + std::to_string(header[at_rank]) + " dimensions, at most " +
                    std::to_string(max_rank) + " are possible");
    return 4u * header[at_rank];
}

Header decode_head(const Bytes& head) {
    const std::uint8_t* h = head.data();
    const std::size_t rank = shape_bytes(h) / 4;
    const auto stated = get<std::uint32_t>(h + at_header_crc);
    const std::uint32_t actual = header_crc(head);
    if (actual != stated) throw Error("damaged header: CRC-32 is " + hex32(actual) + ", it says " + hex32(stated));
    if (h[at_kind] < 1 || h[at_kind] > 6) throw Error("unknown kind of message: " + std::to_string(h[at_kind]));
    if (const auto reserved = get<std::uint16_t>(h + at_reserved))
        throw Error("damaged header: the reserved field is " + std::to_string(reserved) + ", not 0");
    Header header;
    Message& message = header.message;
    message.kind = static_cast<Kind>(h[at_kind]);
    message.view = get<std::uint16_t>(h + at_view);
    message.frame = get<std::uint32_t>(h + at_frame);
    message.zero_point = bits<std::int32_t>(get<std::uint32_t>(h + at_zero_point));
    std::memcpy(message.bundle.data(), h + at_bundle, message.bundle.size());
    message.scale = bits<float>(get<std::uint32_t>(h + at_scale));
    message.captured_ns = get<std::uint64_t>(h + at_captured);
    message.sent_ns = get<std::uint64_t>(h + at_sent);
    header.payload_bytes = get<std::uint32_t>(h + at_length);
    header.payload_crc = get<std::uint32_t>(h + at_payload_crc);
    for (std::size_t i = 0; i < rank; ++i) message.type.shape.push_back(get<std::uint32_t>(h + header_bytes + 4 * i));
    if (h[at_dtype] <= static_cast<std::uint8_t>(Dtype::float32)) message.type.dtype = static_cast<Dtype>(h[at_dtype]);
    const bool tensor = message.kind == Kind::tensor;
    if (tensor && (message.type.dtype == Dtype::none || message.type.bytes() != header.payload_bytes ||
                   header.payload_bytes > max_payload_bytes))
        throw Error(place(message) + ": " + std::to_string(header.payload_bytes) + " bytes do not make a " +
                    message.type.text());
    if (!tensor && (h[at_dtype] != 0 || rank != 0 || header.payload_bytes != 0 || header.payload_crc != 0))
        throw Error(std::string(name_of(message.kind)) + " with a tensor");
    return header;
}

void check_payload(const Header& header) {
    const Message& message = header.message;
    const std::uint32_t actual = crc32(message.payload.data(), message.payload.size());
    if (actual != header.payload_crc)
        throw Error(place(message) + ": payload CRC-32 is " + hex32(actual) + ", the header says " +
                    hex32(header.payload_crc));
}

std::string hex(const BundleKey& key) {
    std::string text;
    for (const std::uint8_t byte : key) text += hex32(byte).substr(6);
    return text;
}

}  // namespace splitkit::wire
