/* Reset and faults of a Cortex-M. */
#include <stdint.h>
#include <string.h>

#include "semihosting.h"

extern char image_data_load[], image_data_start[], image_data_end[], image_bss_start[], image_bss_end[];
extern char image_stack_top[];

int main(void);

#define SYSTEM_CONTROL(offset) (*(volatile uint32_t *)(0xE000E000u + (offset)))

__attribute__((used)) void reset(void)
{
    SYSTEM_CONTROL(0xD88) |= 0xFu << 20; /* CPACR: floating point, and with it Helium */
    __asm__ volatile("dsb\n\tisb" ::: "memory");
    memcpy(image_data_start, image_data_load, (uint32_t)(image_data_end - image_data_start));
    memset(image_bss_start, 0, (uint32_t)(image_bss_end - image_bss_start));
    host_exit(main());
}

__attribute__((used)) void complain(const uint32_t *frame)
{
    host_complain_hex("fault: status", SYSTEM_CONTROL(0xD28)); /* CFSR */
    host_complain_hex(" at address", SYSTEM_CONTROL(0xD38));   /* BFAR */
    host_complain_hex(", program counter", frame[6]);
    host_complain("\n");
    host_exit(3);
}

__attribute__((used, naked)) static void fault(void)
{
    __asm__ volatile("mrs r0, msp\n\tb complain");
}

/* Reset is the second word; a hard fault, the fourth, is what the other faults turn into unless they are enabled. */
__attribute__((section(".vectors"), used)) static void *const vectors[] = {
    image_stack_top, reset, fault, fault, fault, fault, fault, fault, 0, 0, 0, fault, fault, 0, fault, fault,
};
