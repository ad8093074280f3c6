// containerd-shim-pouch-v2: what its rooms have in common. One shim serves one container.
//
//   shim.c       what containerd starts: `start`, `delete`; becoming the shim
//   server.c     ttrpc: connections, requests, answers            wire.c  Protocol Buffers
//   task.c       the task service: one function per method        loop.c  epoll, timers, children
//   process.c    a container's first process or an exec: state, end, waiters, deletion
//   making.c     how it is created and started                    release.c  the start of runc's container, without runc
//   ready.c      an exec made ahead of time   starter.c  what it executes meanwhile
//   runtime.c    calling the OCI runtime                          rootfs.c, cgroup.c, json.c
//   streams.c    FIFOs, files, log writers   console.c  terminals
//   events.c     what is told to containerd, kept while it is away
#pragma once
#include "loop.h"
#include "wire.h"
#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#define ID_MAX 256u      /* containerd's ids are at most 76 bytes, exec ids of clients may be longer */
#define TEXT_MAX 4096u   /* paths and URIs */
#define REASON_MAX 4096u

struct shim {
	char namespace[ID_MAX];
	char id[ID_MAX];
	char address[TEXT_MAX];        /* containerd's socket */
	char events_address[TEXT_MAX]; /* containerd's ttrpc socket */
	char bundle[TEXT_MAX];
	char socket[108];              /* ours */
};

extern struct shim shim;

// The log of the shim is containerd's: the FIFO `log` in the bundle.
__attribute__((format(printf, 1, 2))) void say(const char *format, ...);
_Noreturn void give_up(const char *what);
void signals_reset(void); // in a child, before it executes something: what is ignored would be inherited
// Ends the shim once containerd has been told everything, or after a while.
void shim_end(void);

// Codes of google.rpc, as containerd maps them to its errors.
enum code { OK = 0, UNKNOWN = 2, INVALID_ARGUMENT = 3, DEADLINE_EXCEEDED = 4, NOT_FOUND = 5, ALREADY_EXISTS = 6, RESOURCE_EXHAUSTED = 8, FAILED_PRECONDITION = 9, UNIMPLEMENTED = 12 };

// server.c. A request lives until it is answered, once; its connection may be gone by then.
struct request {
	struct connection *connection;
	uint32_t stream;
	struct request *next_of_connection;
	struct request *next; /* for whoever keeps it meanwhile */
};

void server_open(int listener);
void request_answer(struct request *request, struct out *body); // frees both; `body` NULL: an empty message
__attribute__((format(printf, 3, 4))) void request_refuse(struct request *request, enum code code, const char *format, ...);

// task.c
void task_call(struct request *request, const char *method, const struct message *message);

// events.c: types without their package, as containerd.events.TaskExit.
void event_tell(const char *topic, const char *type, struct out *event); // frees it
void events_flush(void (*then)(void));
