// Calling the OCI runtime: what every call has in common. What is called, and what its answer means, task.c and process.c know.
#pragma once
#include "shim.h"

struct call {
	struct child child;
	int output;     /* what it printed, where its output is not the container's; -1: none */
	off_t log_from; /* where its words in log.json begin */
	int status;
	void (*done)(struct call *call, bool ok);
};

// From the options of the task (containerd.runc.v1.Options); written into the bundle for `delete`, which knows no options. False: `reason` says why not.
bool runtime_configure(const struct message *create, char reason[REASON_MAX]);
// As it was configured by the shim of the bundle in the working directory. False: there was none, or it took everything away.
bool runtime_recall(void);
void runtime_forget(void); // everything of the container is gone: `delete` has nothing to do

// `stdio` NULL: stdin is `input` (-1: nothing) and the output is kept. Then `done`, later. False: it could not be started.
bool runtime_call(struct call *call, const char *const arguments[], const int stdio[3], int input, void (*done)(struct call *, bool));
// The same with two descriptors more, which the runtime gets as 3 and 4.
bool runtime_call_with(struct call *call, const char *const arguments[], const int descriptors[5], void (*done)(struct call *, bool));
// Why it failed, in the runtime's words. `call_finish` frees what belongs to the call.
void call_reason(const struct call *call, char into[REASON_MAX]);
char *call_output(const struct call *call, size_t *length); // NULL: nothing, or too much; to be freed
void call_finish(struct call *call);

// The same, waiting for its end: for `delete`, which is a process of its own.
bool runtime_run(const char *const arguments[]);
bool runtime_has_state(void);    // whether the runtime still has a directory for this container
bool runtime_state_file(const char *name, char path[2 * TEXT_MAX]); // in that directory; false: the path is too long
bool runtime_is(const char *name); // by the name of its program
char *runtime_read_file(const char *file, size_t *length); // of the bundle; NULL: not there, or empty; to be freed
bool runtime_read_pid(const char *file, pid_t *pid); // a pid file in the bundle
