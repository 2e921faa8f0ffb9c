/* A test's firmware for Arm boards: runs two networks on their inputs, prints what they give and how deep the first one's
   stack went, over semihosting. Compiled with -DFIRST=name -DSECOND=name; FIRST_image and SECOND_image come from inputs.c, an element
   late, so that they are aligned to nothing but their type. */
#include <stdint.h>

#define PASTE_(a, b) a##b
#define PASTE(a, b) PASTE_(a, b)
#define TEXT_(a) #a
#define TEXT(a) TEXT_(a)
#define HEADER(name) TEXT(name.h)
#include HEADER(FIRST)
#include HEADER(SECOND)

#define PAINTED_BYTES 8192
#define PAINT 0xA5u

extern const PASTE(FIRST, _element_t) PASTE(FIRST, _image)[];
extern const PASTE(SECOND, _element_t) PASTE(SECOND, _image)[];
extern uint8_t data_start[], data_end[], data_source[], bss_start[], bss_end[], stack_top[];

static PASTE(FIRST, _output_t) first_out;
static PASTE(SECOND, _output_t) second_out;

static int semihosting(int operation, const void *argument)
{
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static void print_hex(const char *label, const void *data, uint32_t bytes)
{
    static const char digits[] = "0123456789abcdef";
    static char text[3];
    semihosting(4, label);
    for (uint32_t i = 0; i < bytes; ++i) {
        text[0] = digits[((const uint8_t *)data)[i] >> 4];
        text[1] = digits[((const uint8_t *)data)[i] & 15];
        semihosting(4, text);
    }
    semihosting(4, "\n");
}

static volatile uint8_t *stack_pointer(void)
{
    uint8_t *sp;
    __asm__ volatile("mov %0, sp" : "=r"(sp));
    return sp;
}

int main(void)
{
    int32_t status = PASTE(FIRST, _init)() | PASTE(SECOND, _init)();
    volatile uint8_t *top = stack_pointer();
    for (uint32_t i = 1; i <= PAINTED_BYTES; ++i) {
        top[-(int32_t)i] = PAINT;
    }
    status |= PASTE(FIRST, _run)(PASTE(FIRST, _image) + 1, &first_out);
    uint32_t depth = PAINTED_BYTES;
    while (depth > 0 && top[-(int32_t)depth] == PAINT) {
        --depth;
    }
    status |= PASTE(SECOND, _run)(PASTE(SECOND, _image) + 1, &second_out);
    print_hex("status ", &status, sizeof status);
    print_hex("depth ", &depth, sizeof depth);
    print_hex("first ", &first_out, sizeof first_out);
    print_hex("second ", &second_out, sizeof second_out);
    return 0;
}

void reset(void)
{
    *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20; /* CPACR: the floating-point unit, and Helium */
    __asm__ volatile("dsb\n\tisb");
    const uint8_t *source = data_source;
    for (uint8_t *at = data_start; at < data_end; ++at) {
        *at = *source++;
    }
    for (uint8_t *at = bss_start; at < bss_end; ++at) {
        *at = 0;
    }
    main();
    semihosting(0x18, (const void *)0x20026); /* SYS_EXIT, ADP_Stopped_ApplicationExit */
    for (;;) {
    }
}

static void fault(void)
{
    semihosting(4, "fault\n");
    semihosting(0x18, (const void *)0x20023);
}

__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {
    stack_top, (const void *)reset, (const void *)fault, (const void *)fault, (const void *)fault, (const void *)fault,
    (const void *)fault,
};
