/* Conversions of half precision on RISC-V cores without Zfh, for whatever links generated kernels: firmware, runner.
 *
 * LLVM passes halves in floating-point registers, with ones above (the psABI), but the weak versions of these functions
 * that TVM puts beside its kernels use integer registers. These are found first. A float argument or result is the
 * same register with the same ones above its 32 bits. */
typedef int not_empty_elsewhere;

#ifdef __riscv

#include <stdint.h>
#include <string.h>

float __truncsfhf2(float value);
float __extendhfsf2(float boxed);

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* To nearest, ties to even, for magnitudes below the smallest normal half, as multiples of 2^-24. */
static uint32_t subnormal(uint32_t magnitude)
{
    const uint32_t shift = 126 - (magnitude >> 23);
    uint32_t mantissa, whole, rest, tie;
    if (shift > 24) return 0;
    mantissa = (magnitude & 0x7fffffu) | 0x800000u;
    whole = mantissa >> shift;
    rest = mantissa & ((1u << shift) - 1);
    tie = 1u << (shift - 1);
    return whole + (rest > tie || (rest == tie && (whole & 1u)) ? 1 : 0);
}

static uint32_t half_of(uint32_t magnitude)
{
    if (magnitude > 0x7f800000u) return 0x7e00;  /* not a number */
    if (magnitude >= 0x477ff000u) return 0x7c00; /* from 65520 on: infinity */
    if (magnitude < 0x38800000u) return subnormal(magnitude);
    return (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - 0x38000000u) >> 13;
}

float __truncsfhf2(float value)
{
    const uint32_t bits = bits_of(value);
    return float_of(0xffff0000u | ((bits >> 16) & 0x8000u) | half_of(bits & 0x7fffffffu));
}

float __extendhfsf2(float boxed)
{
    const uint32_t bits = bits_of(boxed), sign = (bits & 0x8000u) << 16;
    const uint32_t exponent = (bits >> 10) & 31u, mantissa = bits & 0x3ffu;
    if (exponent == 0) return float_of(bits_of((float)mantissa * 0x1p-24f) | sign);
    return float_of(sign | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | mantissa << 13);
}

#endif
