// What `runc start` does, without a process for it. runc's own init, with all that makes the container around it, waits at a FIFO for whoever opens it.
#pragma once
#include <stdbool.h>

// `told` says later whether the container's program runs, or the runtime must be asked: it knows more, or has the words for why not.
// False: it must be asked at once.
bool release_begin(void (*told)(bool runs));
void release_ended(void); // the container's first process is gone
