// The container's processes: its first one and its execs.
#pragma once
#include "runtime.h"
#include "streams.h"

enum state { BEING_CREATED, CREATED, STARTING, RUNNING, STOPPED };

struct process {
	struct child child;
	struct call call;           /* of the runtime, on its behalf: one at a time */
	struct stdio stdio;
	struct process *next;
	char exec_id[ID_MAX];       /* empty: the container's first one */
	enum state state;
	bool paused, terminal;
	bool calling;               /* `call` is under way */
	bool made;                  /* the runtime's part of its making is done */
	bool ended;                 /* told only once it has been started */
	bool deleting, deleted;     /* asked for; done by the runtime */
	pid_t pid;
	unsigned exit_status;       /* 128 + N after a death by signal N */
	struct timespec exited_at;
	char *in, *out, *err, *spec;
	size_t spec_length;
	struct request *request;    /* the one that `call` is made for */
	struct request *waiters;
	struct request *askers;     /* for its state, while it is being started */
};

struct process *process_find(const char *exec_id); // NULL: there is none
void process_create(struct request *request, const struct message *create);
void process_add(struct request *request, const struct message *exec);
void process_start(struct process *process, struct request *request);
void process_delete(struct process *process, struct request *request);
void process_ask(struct process *process, struct request *request); // its state, once no start is under way
void process_wait(struct process *process, struct request *request);

// Between process.c and making.c.
struct process *process_new(const char *exec_id); // empty: the container's first one
void process_free(struct process *process);
struct process *process_first(void); // also while it is being created; NULL: there is none
unsigned process_execs(void);
bool process_is_first(const struct process *process);
struct process *process_of_call(struct call *call);
bool process_adopt(struct process *process, const char *pid_file); // by the pid that the runtime wrote; false: it wrote none
void process_never_ran(struct process *process); // as one that has ended: it can be deleted, and whoever waits for it is answered
void process_settle(struct process *process); // takes every step for which all is there; the process may be gone afterwards
