// The life of a process once somebody wants it: what is known of it, told of it, and its deletion. How it is made, making.c knows.
#define _GNU_SOURCE
#include "process.h"
#include "json.h"
#include "ready.h"
#include "release.h"
#include "rootfs.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define FORGOTTEN_MS 5000  /* containerd ends the shim at once */

static struct process *first, *execs;
static unsigned exec_count;

bool process_is_first(const struct process *process)
{
	return process->exec_id[0] == '\0';
}

struct process *process_first(void)
{
	return first;
}

unsigned process_execs(void)
{
	return exec_count;
}

struct process *process_find(const char *exec_id)
{
	if (exec_id[0] == '\0') return first != NULL && first->state != BEING_CREATED ? first : NULL;
	for (struct process *process = execs; process != NULL; process = process->next)
		if (strcmp(process->exec_id, exec_id) == 0) return process;
	return NULL;
}

static void streams_changed(struct stdio *stdio)
{
	process_settle((struct process *)((char *)stdio - offsetof(struct process, stdio)));
}

struct process *process_of_call(struct call *call)
{
	return (struct process *)((char *)call - offsetof(struct process, call));
}

static void process_ended(struct child *child, int status)
{
	struct process *process = (struct process *)child;
	process->exit_status = WIFSIGNALED(status) ? 128u + (unsigned)WTERMSIG(status) : (unsigned)WEXITSTATUS(status);
	clock_gettime(CLOCK_REALTIME, &process->exited_at);
	process->ended = true;
	stdio_process_ended(&process->stdio);
	if (process_is_first(process)) release_ended();
	process_settle(process);
}

struct process *process_new(const char *exec_id)
{
	struct process *process = calloc(1, sizeof *process);
	if (process == NULL) give_up("no memory");
	snprintf(process->exec_id, sizeof process->exec_id, "%s", exec_id);
	process->child.ended = process_ended;
	process->call.output = -1;
	stdio_init(&process->stdio, streams_changed);
	if (process_is_first(process)) first = process;
	else {
		process->next = execs;
		execs = process;
		exec_count++;
	}
	return process;
}

void process_free(struct process *process)
{
	if (process == first) first = NULL;
	for (struct process **at = &execs; *at != NULL; at = &(*at)->next) {
		if (*at != process) continue;
		*at = process->next;
		exec_count--;
		break;
	}
	stdio_close(&process->stdio);
	child_forget(&process->child);
	free(process->in);
	free(process->out);
	free(process->err);
	free(process->spec);
	free(process);
}

static void told_waiters(struct process *process)
{
	while (process->waiters != NULL) {
		struct request *waiter = process->waiters;
		process->waiters = waiter->next;
		struct out body = { 0 };
		out_number(&body, 1, process->exit_status);
		out_time(&body, 2, &process->exited_at);
		request_answer(waiter, &body);
	}
}

static void rest_ended(struct call *call, bool ok)
{
	if (!ok) say("the rest of the container's processes could not be ended");
	call_finish(call);
}

/* Processes of a container without a pid namespace of its own outlive its first one: they are ended, as containerd's shim does. */
static void end_the_rest(void)
{
	static struct call rest = { .output = -1 };
	runtime_call(&rest, (const char *[]){ "kill", "--all", shim.id, "9", NULL }, NULL, -1, rest_ended);
}

static bool has_own_pids(void)
{
	char *text = runtime_read_file("config.json", &(size_t){ 0 });
	bool own = false;
	struct json at = { NULL, NULL }, namespaces = json_member(json_member(json_of(text, text == NULL ? 0 : strlen(text)), "linux"), "namespaces");
	while (json_next(namespaces, &at, NULL))
		if (json_is(json_member(at, "type"), "pid")) own = json_member(at, "path").at == NULL || json_is(json_member(at, "path"), "");
	free(text);
	return own;
}

static void tell_end(struct process *process)
{
	struct out event = { 0 };
	process->state = STOPPED;
	process->paused = false;
	out_text(&event, 1, shim.id);
	out_text(&event, 2, process_is_first(process) ? shim.id : process->exec_id);
	out_number(&event, 3, (uint64_t)process->pid);
	out_number(&event, 4, process->exit_status);
	out_time(&event, 5, &process->exited_at);
	event_tell("/tasks/exit", "TaskExit", &event);
	told_waiters(process);
	if (!process_is_first(process)) return;
	oom_forget();
	ready_drop(NULL, NULL);
	if (!has_own_pids()) end_the_rest();
}

bool process_adopt(struct process *process, const char *pid_file)
{
	if (!runtime_read_pid(pid_file, &process->pid)) return false;
	child_adopt(&process->child, process->pid);
	return true;
}

static void tell_state(const struct process *process, struct request *request)
{
	/* containerd.v1.types.Status, by our states */
	static const unsigned status[] = { [BEING_CREATED] = 0, [CREATED] = 1, [STARTING] = 1, [RUNNING] = 2, [STOPPED] = 3 };
	struct out body = { 0 };
	out_text(&body, 1, shim.id);
	out_text(&body, 2, shim.bundle);
	out_number(&body, 3, (uint64_t)process->pid);
	out_number(&body, 4, process->paused ? 4 : status[process->state]);
	out_text(&body, 5, process->in);
	out_text(&body, 6, process->out);
	out_text(&body, 7, process->err);
	out_number(&body, 8, process->terminal);
	out_number(&body, 9, process->exit_status);
	out_time(&body, 10, &process->exited_at);
	out_text(&body, 11, process->exec_id);
	request_answer(request, &body);
}

static void told_askers(struct process *process)
{
	while (process->askers != NULL && process->state != STARTING) {
		struct request *asker = process->askers;
		process->askers = asker->next;
		tell_state(process, asker);
	}
}

void process_never_ran(struct process *process)
{
	process->state = STOPPED;
	process->exit_status = 255;
	clock_gettime(CLOCK_REALTIME, &process->exited_at);
	stdio_close(&process->stdio);
	told_waiters(process);
	told_askers(process);
}

/* Whoever asks for a process that is being started may have lost the answer to its start: "created" would say that it has not run. */
void process_ask(struct process *process, struct request *request)
{
	request->next = process->askers;
	process->askers = request;
	told_askers(process);
}

static void tell_started(struct process *process)
{
	struct out event = { 0 }, body = { 0 };
	process->state = RUNNING;
	out_text(&event, 1, shim.id);
	if (process_is_first(process)) {
		out_number(&event, 2, (uint64_t)process->pid);
		event_tell("/tasks/start", "TaskStart", &event);
	} else {
		out_text(&event, 2, process->exec_id);
		out_number(&event, 3, (uint64_t)process->pid);
		event_tell("/tasks/exec-started", "TaskExecStarted", &event);
	}
	out_number(&body, 1, (uint64_t)process->pid);
	request_answer(process->request, &body);
	process->request = NULL;
	if (!process_is_first(process)) ready_note(process);
}

static void tell_created(struct process *process)
{
	struct out event = { 0 }, streams = { 0 }, body = { 0 };
	process->state = CREATED;
	out_text(&streams, 1, process->in);
	out_text(&streams, 2, process->out);
	out_text(&streams, 3, process->err);
	out_number(&streams, 4, process->terminal);
	out_text(&event, 1, shim.id);
	out_text(&event, 2, shim.bundle);
	out_message(&event, 4, &streams);
	out_number(&event, 6, (uint64_t)process->pid);
	event_tell("/tasks/create", "TaskCreate", &event);
	out_number(&body, 1, (uint64_t)process->pid);
	request_answer(process->request, &body);
	process->request = NULL;
}

/* Whoever deleted the container died before it ended the shim: no listing shows it any more. Ending by itself it has containerd take the rest away. */
static void forgotten(struct timer *timer)
{
	(void)timer;
	shim_end();
}

static void tell_deleted(struct process *process)
{
	struct request *request = process->request;
	struct out body = { 0 };
	out_number(&body, 1, (uint64_t)process->pid);
	out_number(&body, 2, process->exit_status);
	out_time(&body, 3, &process->exited_at);
	if (process_is_first(process)) {
		struct out event = { 0 };
		while (execs != NULL && !execs->calling) process_free(execs);
		if (!rootfs_unmount()) say("the rootfs cannot be unmounted: %s", strerror(errno));
		else runtime_forget();
		out_text(&event, 1, shim.id);
		out_number(&event, 2, (uint64_t)process->pid);
		out_number(&event, 3, process->exit_status);
		out_time(&event, 4, &process->exited_at);
		event_tell("/tasks/delete", "TaskDelete", &event);
		static struct timer alone = { .fire = forgotten };
		timer_set(&alone, FORGOTTEN_MS);
	}
	process->request = NULL;
	process_free(process);
	request_answer(request, &body);
}

void process_settle(struct process *process)
{
	if (process->made && process->stdio.ready && process->request != NULL) {
		if (process->state == BEING_CREATED) tell_created(process);
		else if (process->state == STARTING) tell_started(process);
	}
	/* An end is never told before its start; a container that was made and ended without one is told at once. */
	if (process->ended && (process->state == RUNNING || (process->state == CREATED && process_is_first(process)))) tell_end(process);
	told_askers(process);
	if (process->deleting && process->deleted && process->state == STOPPED && stdio_is_over(&process->stdio)) tell_deleted(process);
}

static void delete_done(struct call *call, bool ok)
{
	struct process *process = process_of_call(call);
	char reason[REASON_MAX];
	process->calling = false;
	if (!ok) call_reason(call, reason);
	call_finish(call);
	if (!ok && strstr(reason, "does not exist") == NULL) {
		struct request *request = process->request;
		process->request = NULL;
		process->deleting = false;
		request_refuse(request, UNKNOWN, "failed to delete task: %s", reason);
		return;
	}
	process->deleted = true;
	process_settle(process);
}

void process_delete(struct process *process, struct request *request)
{
	if (process->calling || process->deleting || process->state == STARTING || process->state == RUNNING) {
		request_refuse(request, FAILED_PRECONDITION, "cannot delete a %s process: failed precondition", process->state == RUNNING ? "running" : "changing");
		return;
	}
	process->deleting = true;
	process->request = request;
	stdio_finish(&process->stdio);
	if (process_is_first(process)) {
		process->calling = runtime_call(&process->call, (const char *[]){ "delete", shim.id, NULL }, NULL, -1, delete_done);
		if (process->calling) return;
		process->deleting = false;
		process->request = NULL;
		request_refuse(request, UNKNOWN, "the OCI runtime cannot be started: %s", strerror(errno));
		return;
	}
	process->state = STOPPED; /* also one that was never started */
	process->deleted = true;
	process_settle(process);
}

void process_wait(struct process *process, struct request *request)
{
	request->next = process->waiters;
	process->waiters = request;
	if (process->state == STOPPED) told_waiters(process);
}
