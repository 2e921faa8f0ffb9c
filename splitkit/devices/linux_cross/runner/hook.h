/* Included before the generated C, so that the runner learns when each kernel has ended. */
#ifndef SPLITKIT_HOOK_H
#define SPLITKIT_HOOK_H

#ifdef __cplusplus
extern "C"
#endif
void splitkit_after_kernel(int index); /* -1 before the first kernel */

#define SPLITKIT_AFTER_KERNEL(index) splitkit_after_kernel(index)

#endif
