/* A counter that the emulator advances with every instruction. The profile says which, and where it is. */
#ifndef SPLITKIT_TICKS_H
#define SPLITKIT_TICKS_H

#include <stdint.h>

#if defined TICKS_CMSDK_TIMER /* CMSDK APB timer: counts down; control, value, reload */
#define TICKS_REGISTER(i) (((volatile uint32_t *)TICKS_CMSDK_TIMER)[i])
static inline void ticks_start(void)
{
    TICKS_REGISTER(2) = UINT32_MAX;
    TICKS_REGISTER(1) = UINT32_MAX;
    TICKS_REGISTER(0) = 1;
}
static inline uint32_t ticks(void)
{
    return ~TICKS_REGISTER(1);
}
#elif defined TICKS_SSE_COUNTER /* SSE system counter: enabled in its control frame, read in its status frame */
static inline void ticks_start(void)
{
    *(volatile uint32_t *)TICKS_SSE_COUNTER = 1;
}
static inline uint32_t ticks(void)
{
    return *(volatile uint32_t *)(TICKS_SSE_COUNTER + 0x1000u);
}
#elif defined TICKS_MCYCLE /* RISC-V's own */
static inline void ticks_start(void)
{
}
static inline uint32_t ticks(void)
{
    uint32_t value;
    __asm__ volatile("csrr %0, mcycle" : "=r"(value));
    return value;
}
#else
#error "no counter is defined"
#endif

#endif
