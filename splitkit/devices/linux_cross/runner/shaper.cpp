#include "shaper.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "error.h"

namespace splitkit {

namespace {

constexpr std::size_t burst_bytes = 4096;  // most that leave at once; a burst leaves when its last byte is due

double ns_per_byte(const Arguments& arguments) {
    const double bytes_per_s = arguments.number("--link-bytes-per-s", 0.0, 0.0, 1e15);
    return bytes_per_s > 0.0 ? 1e9 / bytes_per_s : 0.0;
}

}  // namespace

SharedLink::SharedLink(const std::string& path) : fd_(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
    const off_t size = fd_ < 0 ? 0 : lseek(fd_, 0, SEEK_END);
    const bool large = fd_ >= 0 && (size >= static_cast<off_t>(sizeof *free_at_) || ftruncate(fd_, sizeof *free_at_) == 0);
    void* memory = large ? mmap(nullptr, sizeof *free_at_, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0) : MAP_FAILED;
    if (memory == MAP_FAILED) {
        const Error error(path + ": cannot be shared: " + std::strerror(errno));
        if (fd_ >= 0) close(fd_);
        throw error;
    }
    free_at_ = static_cast<std::uint64_t*>(memory);
}

SharedLink::~SharedLink() {
    munmap(free_at_, sizeof *free_at_);
    close(fd_);
}

std::uint64_t SharedLink::reserve(std::uint64_t earliest_ns, std::uint64_t duration_ns) {
    while (flock(fd_, LOCK_EX) != 0 && errno == EINTR) continue;
    const std::uint64_t begin = std::max(earliest_ns, *free_at_);
    *free_at_ = begin + duration_ns;
    flock(fd_, LOCK_UN);
    return begin;
}

ShapedLink::ShapedLink(const Arguments& arguments, const Patience& patience)
    : overhead_ns_(static_cast<std::uint64_t>(1e3 * arguments.number("--link-overhead-us", 0.0, 0.0, 1e9))),
      ns_per_byte_(ns_per_byte(arguments)),
      patience_(patience) {
    const std::string path = arguments.text("--shared-link", "");
    if (!path.empty()) shared_.emplace(path);
}

void ShapedLink::send(Connection& peer, const wire::Message& message, std::uint64_t ready_ns) {
    const wire::Bytes head = wire::encode_head(message), &payload = message.payload;
    const auto after = [&](std::size_t bytes) {
        return overhead_ns_ + static_cast<std::uint64_t>(static_cast<double>(bytes) * ns_per_byte_);
    };
    const std::uint64_t begin = shared_ ? shared_->reserve(ready_ns, after(payload.size())) : ready_ns;
    std::size_t sent = 0;
    do {
        const std::size_t burst = ns_per_byte_ > 0.0 ? std::min(burst_bytes, payload.size() - sent) : payload.size();
        patience_.wait_until(begin + after(sent + burst));
        peer.write(head.data(), sent == 0 ? head.size() : 0, payload.data() + sent, burst);
        sent += burst;
    } while (sent < payload.size());
}

}  // namespace splitkit
