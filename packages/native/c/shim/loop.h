// The one loop of the shim: file descriptors, instants, ended children. Everything else runs inside it and must not block.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct watch {
	int fd; /* -1: not watched */
	void (*ready)(struct watch *watch, uint32_t events);
};

struct timer {
	int64_t at_ms;
	void (*fire)(struct timer *timer);
	struct timer *next;
	bool set;
};

struct child {
	pid_t pid;
	void (*ended)(struct child *child, int status); // status as waitpid has it; the child is forgotten before
	struct child *next;
};

void loop_open(void);
_Noreturn void loop_run(void);

bool loop_watch(struct watch *watch, uint32_t events); // EPOLL*; false: it cannot be watched (a regular file)
void loop_change(struct watch *watch, uint32_t events);
void loop_forget(struct watch *watch); // does not close

void timer_set(struct timer *timer, int64_t after_ms);
void timer_clear(struct timer *timer);

void child_watch(struct child *child, pid_t pid);
void child_forget(struct child *child);

// While any call is under way that makes processes whose pids are told only afterwards, ends of unknown children are kept.
void strangers_keep(void);
void strangers_drop(void);
// Watches a process that somebody else made; one that has ended already is told by `ended` at once.
void child_adopt(struct child *child, pid_t pid);
