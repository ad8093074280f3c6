// A ready exec: one process per container, made by the OCI runtime ahead of time exactly as it makes an exec, that waits to be told what to execute.
#pragma once
#include "../order.h"
#include "process.h"

// After an exec has been started the usual way or by the ready one: where execs come one after the other, the next one is made ready.
void ready_note(const struct process *process);
// Hands `process`, whose streams are open, to the ready one. `told` says later whether it runs (its pid is set) or must be started the usual way.
// False: there is none for it.
bool ready_take(struct process *process, void (*told)(struct process *process, bool runs));
// Ends it and does not make another before the next exec. `then` (may be NULL) once nothing of it is left in the container.
void ready_drop(void (*then)(void *whom), void *whom);
bool ready_hides(pid_t pid); // not one of the container's own processes

// starter.c: of runc's, inside the container, what the ready process executes until then.
#define STARTER_VERB "exec-starter"
#define STARTER_PROGRAM 3   /* its descriptors: its own program, sealed, and a socket to the shim */
#define STARTER_SOCKET 4
int starter_main(void);
