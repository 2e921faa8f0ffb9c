/* Serves the host: it sends a command and the inputs, and gets the outputs or a profile. Ends when the host does.
 *
 *   r INPUTS -> OUTPUTS                  runs the network
 *   p INPUTS -> a profile                counts one run, and each kernel of another
 */
#include "network.h"
#include "semihosting.h"
#include "stamp.h"
#include "ticks.h"

enum { COUNTS = 6, PAINT = 0x5AFEC0DE };

extern uint32_t image_stack_bottom[];
extern uint32_t image_stamps[]; /* one per kernel, and the one before the first */

__attribute__((noinline)) void splitkit_stamp(int index)
{
    image_stamps[index + 1] = ticks();
}

static inline uint32_t *stack_pointer(void)
{
    uint32_t *value;
#ifdef __arm__
    __asm__ volatile("mov %0, sp" : "=r"(value));
#else
    __asm__ volatile("mv %0, sp" : "=r"(value));
#endif
    return value;
}

__attribute__((noinline)) static int run_nothing(void)
{
    __asm__ volatile("" ::: "memory");
    return 0;
}

/* Ticks of a call, and how deep the stack went below this function, which paints it. Nothing else runs meanwhile, so
   that what lies below the stack pointer is free; the pointers are volatile lest the compiler calls memset for it. */
__attribute__((noinline)) static int count(int (*run)(void), uint32_t *taken, uint32_t *stack_bytes)
{
    uint32_t *const here = stack_pointer();
    volatile uint32_t *word = image_stack_bottom;
    while (word < here) {
        *word++ = PAINT;
    }
    const uint32_t start = ticks();
    const int status = run();
    *taken = ticks() - start;
    for (word = image_stack_bottom; word < here && *word == PAINT;) {
        ++word;
    }
    *stack_bytes = (uint32_t)((const char *)here - (const char *)word);
    return status;
}

static int profile(int out)
{
    uint32_t counts[COUNTS], unused;
    splitkit_stamp(-1);
    splitkit_stamp(0); /* nothing lies between the two: what a stamp costs */
    counts[0] = network_kernels;
    counts[1] = image_stamps[1] - image_stamps[0];
    count(run_nothing, &counts[2], &unused);
    int status = count(network_run, &counts[3], &counts[4]);
    status |= network_run_profiled();
    counts[5] = (uint32_t)status;
    return host_write(out, counts, sizeof counts) && host_write(out, image_stamps, 4 * (network_kernels + 1));
}

static int receive(int in)
{
    for (uint32_t i = 0; i < network_input_count; ++i) {
        if (!host_read(in, network_inputs[i].at, network_inputs[i].bytes)) {
            return 0;
        }
    }
    return 1;
}

static int send(int out)
{
    for (uint32_t i = 0; i < network_output_count; ++i) {
        if (!host_write(out, network_outputs[i].at, network_outputs[i].bytes)) {
            return 0;
        }
    }
    return 1;
}

int main(void)
{
    const int in = host_open("/dev/stdin", HOST_READ_BINARY), out = host_open("/dev/stdout", HOST_WRITE_BINARY);
    char command;
    if (in < 0 || out < 0) {
        host_complain("the emulator cannot open its standard streams\n");
        return 4;
    }
    if (network_init() != 0) {
        host_complain("the network's initialisation failed\n");
        return 5;
    }
    ticks_start();
    while (host_read(in, &command, 1)) {
        if (!receive(in)) {
            return 6;
        }
        if (command == 'r' && network_run() != 0) {
            host_complain("a kernel failed\n");
            return 7;
        }
        if (!(command == 'r' ? send(out) : profile(out))) {
            return 8;
        }
    }
    return 0;
}
